#!/usr/bin/env python3
"""Write documents that a JSON parser must accept or refuse, one per file.

    test/json_cases.py DIRECTORY
    decoder_test DIRECTORY

File names begin with y_ (must be accepted), n_ (must be refused) or i_
(RFC 8259 leaves it open; must be survived).  The cases follow the sections of
RFC 8259; each number names its place in the list, so add at the end.  The cases
of the public JSONTestSuite (json_suite.py) come with them, under their own names.
"""

import os
import sys

sys.dont_write_bytecode = True

import json_suite

TEN = b'0123456789'

CASES = {
    # section 2: structure and white space
    'y_space': [
        b' \t\r\n1 \t\r\n', b'\n[\n1\n,\n2\n]\n', b'{ \t"k" \r: \n0 }', b'[ ]', b'{ }',
        b'[\r\n]', b'{"k":{ },"l":[ ]}', b' ' * 100 + b'0' + b' ' * 100,
    ],
    'n_space': [
        b'', b' ', b'\n\n', b'\x0b1', b'1\x0c', b'\xc2\xa01', b'\xe2\x80\x891', b'[1\xc2\x85]',
        b'\x001', b'1\x00', b'[1\x00]', b'[1,\x002]', b'\x1f{}', b'1\xef\xbb\xbf', b'\xef\xbb\xbf\xef\xbb\xbf1',
        b'\\u00201', b'\\n[]', b'\x08[]',
    ],
    'i_mark': [b'\xef\xbb\xbf1', b'\xef\xbb\xbf {"k":1}'],
    'n_end': [
        b'0 0', b'0,', b'0]', b'0}', b'[] []', b'{}{}', b'[]{}', b'""""', b'true false', b'null,',
        b'1;', b'[];', b'{}/', b'{} // end', b'{} /* end */', b'{} # end', b'[1]\\n', b'[1]x', b'[1]\xc3\xa9',
        b'[1]\xff', b'1:2', b'"k":1', b'"k":1}', b'1]',
    ],
    'n_start': [
        b'.', b',', b':', b';', b'/', b'\\', b']', b'}', b',1', b':1', b'(1)', b'<1>', b'/**/1', b'//\n1', b'# \n1',
        b"'x'", b'`x`', b'x', b'_', b'$', b'@', b'\xc3\xa9', b'\x80', b'\xff', b'&amp;', b'=1',
    ],

    # section 3: values
    'y_word': [
        b'true', b'false', b'null', b' true ', b'[true,false,null]', b'{"true":true,"false":false,"null":null}',
        b'[null ]', b'[\ntrue\n]', b'[[true],[false],[null]]',
    ],
    'n_word': [
        b't', b'tr', b'tru', b'f', b'fals', b'n', b'nul', b'True', b'FALSE', b'Null', b'NULL', b'truee', b'nullnull',
        b'[tru]', b'[nul,1]', b'[falsy]', b't rue', b'tr\\u0075e', b'yes', b'no', b'undefined', b'None', b'nil',
        b'[true false]', b'[truefalse]', b'{true:1}', b'{"k":t}', b'{"k":nul}', b'NaN', b'nan', b'Infinity',
        b'-Infinity', b'inf', b'-inf', b'[NaN]', b'[-NaN]', b'tru\x00e', b'"true', b'tr\xc3\xbce',
    ],

    # section 4: objects
    'y_object': [
        b'{}', b'{"":""}', b'{"":{}}', b'{"k":1}', b'{"k":1,"l":2,"m":3}', b'{"k":1,"k":2}', b'{"k":1,"k":1,"k":1}',
        b'{"k":{"k":{"k":{}}}}', b'{"k":[{"l":[]}]}', b'{"\\u006b":1}', b'{"k\\"":1}', b'{"\\\\":1}',
        b'{"\xc3\xa9":"\xc3\xa9"}', b'{"\\ud83d\\ude00":1}', b'{"a key with blanks":1}', b'{"0":0}', b'{"k" : 1 , "l" : 2}',
        b'{"k":"}"}', b'{"}":"{"}', b'{"a name that is longer than sixteen bytes":1}', b'{"\\u0000":1}',
        b'{' + b','.join(b'"%d":%d' % (n, n) for n in range(300)) + b'}',
    ],
    'n_object': [
        b'{', b'{"', b'{"k', b'{"k"', b'{"k":', b'{"k":1', b'{"k":1,', b'{"k":1,"', b'{"k":1,"l', b'{"k":1,"l"', b'{"k":1,"l":',
        b'{"k"}', b'{"k":}', b'{:1}', b'{,}', b'{"k":1,}', b'{,"k":1}', b'{"k":1,,"l":2}', b'{"k":1 "l":2}', b'{"k":1;"l":2}',
        b'{"k"::1}', b'{"k" 1}', b'{"k",1}', b'{"k"=1}', b'{"k":1:2}', b'{"k":1,2}', b'{"k":1,"l"}', b'{k:1}', b"{'k':1}",
        b'{1:1}', b'{-1:1}', b'{null:1}', b'{[]:1}', b'{{}:1}', b'{"k":1]', b'{"k":[1}', b'{]', b'{1}', b'{"k" "l":1}', b'{k}',
        b'{"k":"v"', b'{"k":"v}', b'{"k\n":1}', b'{"\\x":1}', b'{"\\u12":1}', b'{\xc3:1}', b'{\xff:1}', b'{"k":1,//\n"l":2}',
        b'{"k":/**/1}', b'{"k":1}}', b'{{}', b'{{}}', b'{"k":{}', b'{"k":{"l":1}', b'{"k":undefined}', b'{\x00}', b'{"k"\x00:1}',
        b'{\xc3\xa9:1}', b'{"k":+1}', b'{"k":.1}',
    ],

    # section 5: arrays
    'y_array': [
        b'[]', b'[[]]', b'[[],[]]', b'[[[[[[]]]]]]', b'[0]', b'[0,1,2]', b'[1,"1",true,null,{},[]]', b'["]"]', b'["[",",",":"]',
        b'[{},{},{}]', b'[{"k":[{"k":[]}]}]', b'[0 ,1\t,\n2\r]', b'[' + b','.join([b'0'] * 1000) + b']', b'[""]', b'["",""]',
    ],
    'n_array': [
        b'[', b'[1', b'[1,', b'[1,2', b'[[]', b'[[1]', b'["', b'["x', b'["x"', b'["x",', b'[,]', b'[,1]', b'[1,]', b'[1,,2]', b'[,,]',
        b'[1 2]', b'[1;2]', b'[1:2]', b'["k":1]', b'[1}', b'[}', b'[{]', b'[{]}', b'[[1}]', b'[(1)]', b'[1 true]', b'[1"x"]', b'["x"1]',
        b'["x""y"]', b'[[1][2]]', b'[{}{}]', b'[1[]]', b'[[]1]', b'[x]', b'[\xc3\xa9]', b'[\xff]', b'[*]', b'[//1\n1]', b'[/*1*/]', b'[#\n1]',
        b'[1]]', b'][', b'[][', b'[1,\n2\n', b'[\x0c]', b'[\\n]', b"['x']", b'[1.]', b'[-]', b'[..1]', b'[1...2]',
    ],

    # section 6: numbers
    'y_number': [
        b'0', b'-0', b'1', b'-1', b'9', b'10', b'90', b'1234567890', b'-1234567890', b'0.0', b'-0.0', b'0.5', b'10.01', b'-10.010', b'0e0',
        b'0E0', b'0e-0', b'0e+0', b'1e1', b'1E1', b'1e+1', b'1E-1', b'1e01', b'1e-01', b'1e00', b'0.1e1', b'-0.1e-1', b'12.34E+56',
        b'9007199254740993', b'9223372036854775807', b'-9223372036854775808', b'1234567890123456', b'12345678901234567',
        b'0.1234567890123456', b'0.12345678901234567', b'1e100', b'1.7976931348623157e308', b'5e-324', b'[0,-0,0.0,1e1]', b'[0]', b'[-0]',
        b'{"k":-1.5e+3}', b'[1,2.0,3e0]', b'1' + b'0' * 15, b'0.' + b'0' * 100 + b'1',
    ],
    'n_number': [
        b'-', b'+', b'+0', b'+1', b'--1', b'-+1', b'00', b'01', b'-00', b'-01', b'007', b'0.', b'1.', b'-1.', b'.0', b'.5', b'-.5', b'1..2', b'1.2.3',
        b'1.e1', b'.e1', b'1e', b'1E', b'1e+', b'1e-', b'1e.5', b'1e1.5', b'1e1e1', b'1ee1', b'1e+-1', b'1e++1', b'e1', b'-e1', b'0e', b'0e+', b'0.0e',
        b'0x0', b'0x1F', b'0b1', b'0o7', b'1_000', b'1,000', b'1 000', b"1'000", b'1f', b'1L', b'1d', b'1n', b'1%', b'$1', b'1-', b'1-1', b'1+1', b'1/2',
        b'- 1', b'1 .5', b'1. 5', b'1 e5', b'1e 5', b'[1.]', b'[-]', b'[01]', b'[1e]', b'[1e1e]', b'[0.1.1]', b'[1a]', b'[1\xc3\xa9]', b'[1\xff]', b'[1.\xff]',
        b'[1e\xff]', b'\xd9\xa1', b'\xef\xbc\x91', b'\xe2\x85\xa0', b'1\xc2\xb2', b'\xe2\x88\x921', b'1\x002', b'12345678901234567.',
        b'12345678901234567x', b'1234567890123456e', b'0.1234567890123456.',
    ],
    'i_number': [
        b'9223372036854775808', b'-9223372036854775809', b'1' * 100, b'1e400', b'-1e400', b'1e-400', b'1e99999999999999999999', b'0e99999999999999999999',
        b'[1.' + b'1' * 1000 + b']',
    ],

    # section 7: strings
    'y_string': [
        b'""', b'" "', b'"x"', b'"/"', b'"//"', b'"\'"', b'"\x7f"', b'"{}[]:,"', b'"\\\\"', b'"\\""', b'"\\/"', b'"\\b\\f\\n\\r\\t"', b'"\\\\n"', b'"\\\\\\\\"',
        b'"\\\\\\""', b'"\\u0020"', b'"\\u0041"', b'"\\u00e9"', b'"\\u00E9"', b'"\\u20ac\\u20AC"', b'"\\uD7FF"', b'"\\uE000"', b'"\\uFFFD"', b'"\\uFFFE"',
        b'"\\uFFFF"', b'"\\uFDD0"', b'"\\u0000"', b'"\\u001f"', b'"\\u0022\\u005c"', b'"\\ud800\\udc00"', b'"\\uDBFF\\uDFFF"', b'"\\ud83d\\uDE00"',
        b'"\\u12345"', b'"\\\\u1"', b'"\\\\ud800"', b'"' + b'x' * 1000 + b'"', b'"' + TEN + TEN[:5] + b'"', b'"' + TEN + TEN[:6] + b'"',
        b'"' + TEN + TEN[:7] + b'"', b'"' + TEN + TEN[:4] + b'\\n"', b'"' + TEN + TEN[:5] + b'\\n"', b'"' + TEN + TEN[:6] + b'\\n"',
    ],
    'n_string': [
        b'"', b'"x', b'"\\', b'"\\"', b'"\\\\\\"', b'"\\n', b'x"', b"''", b"'x'", b"'x\"", b'"x\'', b'"\n"', b'"\r"', b'"\t"', b'"\x00"', b'"\x01"', b'"\x1f"',
        b'"x\ny"', b'["x\ty"]', b'"\\a"', b'"\\e"', b'"\\v"', b'"\\x41"', b'"\\0"', b'"\\1"', b'"\\\'"', b'"\\ "', b'"\\\n"', b'"\\\x00"', b'"\\N"', b'"\\U0041"',
        b'"\\u"', b'"\\u1"', b'"\\u12"', b'"\\u123"', b'"\\u123', b'"\\u123g"', b'"\\ug123"', b'"\\u 123"', b'"\\u-123"', b'"\\u+123"', b'"\\u{41}"', b'"\\u0x41"',
        b'"\\\xc3\xa9"', b'"\\u\xc3\xa9"', b'"\\ud83d\\u"', b'"\\ud83d\\ude0"', b'"\\ud83d\\x"', b'"\\ud83d', b'"\\ud83d\\', b'"\\ud83d\\u', b'"\\ud83d\\ude0',
        b'["x', b'["x]', b'["\\"]', b'{"x', b'"x" "y"', b'"x"y', b'`x`', b'"' + TEN + TEN[:5] + b'\n"', b'"' + TEN + TEN[:6] + b'\n"', b'"' + TEN + TEN,
        b'R"(x)"', b'u"x"', b'\xe2\x80\x9cx\xe2\x80\x9d',
    ],
    'i_surrogate': [
        b'"\\ud800"', b'"\\udc00"', b'"\\ud800x"', b'"\\ud800\\n"', b'"\\ud800\\u0041"', b'"\\ud800\\ud800"', b'"\\udc00\\ud800"', b'"\\udfff\\udfff"',
        b'{"\\ud800":1}', b'["\\ud83d\\ude00\\ud83d"]',
    ],

    # section 8.1: encoding
    'y_utf8': [
        b'"\xc2\x80"', b'"\xdf\xbf"', b'"\xe0\xa0\x80"', b'"\xed\x9f\xbf"', b'"\xee\x80\x80"', b'"\xef\xbf\xbd"', b'"\xef\xbf\xbf"', b'"\xef\xb7\x90"',
        b'"\xf0\x90\x80\x80"', b'"\xf4\x8f\xbf\xbf"', b'"\xf0\x9f\x98\x80"', b'"\xe2\x80\xa8\xe2\x80\xa9"', b'"\xef\xbb\xbf"', b'"\xcc\x81"',
        b'"' + 'Grüße, мир, 世界'.encode() + b'"', b'"' + TEN + TEN[:5] + b'\xc3\xa9"', b'"' + TEN + TEN[:5] + b'\xf0\x9f\x98\x80"',
    ],
    'i_utf8': [
        b'"\x80"', b'"\xbf"', b'"\xc0\x80"', b'"\xc1\xbf"', b'"\xc3"', b'"\xc3x"', b'"\xe0\x80\x80"', b'"\xe0\x9f\xbf"', b'"\xe2\x82"', b'"\xe2\x82x"',
        b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xf0\x80\x80\x80"', b'"\xf0\x8f\xbf\xbf"', b'"\xf0\x9f\x98"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"',
        b'"\xf8\x88\x80\x80\x80"', b'"\xfc\x84\x80\x80\x80\x80"', b'"\xfe"', b'"\xff"', b'"\xe9t\xe9"', b'"\xc3\xa9\xa9"',
        '"x"'.encode('utf-16-le'), '"x"'.encode('utf-16-be'), '"x"'.encode('utf-16'), '[1]'.encode('utf-32-le'), b'\xef\xbb\xbf{}',
    ],

    # section 9: limits
    'y_depth': [b'[' * 100 + b']' * 100, b'{"k":' * 100 + b'0' + b'}' * 100, b'[{"k":' * 100 + b'0' + b'}]' * 100],
    'n_depth': [b'[' * 100, b'[' * 100000, b'{"k":' * 100000, b'[{"k":' * 20000, b'[' * 100 + b']' * 99, b'[' * 99 + b']' * 100],
    'i_depth': [b'[' * 1000 + b']' * 1000, b'[' * 1001 + b']' * 1001, b'[' * 5000 + b']' * 5000],
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    cases = dict(json_suite.CASES)
    for group, documents in CASES.items():
        for number, document in enumerate(documents, 1):
            cases['%s_%02d' % (group, number)] = document
    for name, document in cases.items():
        with open(os.path.join(directory, name + '.json'), 'wb') as file:
            file.write(document)


if __name__ == '__main__':
    main()
