#!/usr/bin/env python3
"""User sessions as Avro or Protobuf, one message in hexadecimal a line.

    encode_sessions.py schema FORMAT              print the schema
    encode_sessions.py FORMAT < JSON > HEX        encode generate.py's messages

FORMAT is avro or protobuf.  Dates and times are numbers, as serializers write
them, and the uuid is a string.  The encoders are written out: a million messages
take half a minute, with a library several.
"""

import calendar
import datetime
import json
import sys

STRINGS_BEFORE = ['person_name', 'user_name', 'email']
STRINGS = ['address', 'phone_number', 'mac_address', 'ip_address', 'iban']
NUMBERS = ['session_duration', 'download_speed', 'upload_speed', 'consumed_traffic']

AVRO_TYPES = dict(
    {name: 'string' for name in STRINGS_BEFORE + STRINGS},
    **{name: 'int' for name in NUMBERS},
    personal_number='long',
    birth_date={'type': 'int', 'logicalType': 'date'},
    accessed_at={'type': 'long', 'logicalType': 'local-timestamp-micros'},
    unique_id={'type': 'string', 'logicalType': 'uuid'})

PROTO_TYPES = dict(
    {name: 'string' for name in STRINGS_BEFORE + STRINGS + ['unique_id']},
    **{name: 'int32' for name in NUMBERS},
    personal_number='int64',
    birth_date='google.type.Date',
    accessed_at='google.protobuf.Timestamp')

FIELDS = (STRINGS_BEFORE + ['personal_number', 'birth_date'] + STRINGS + ['accessed_at'] + NUMBERS + ['unique_id'])

PROTO_HEAD = '''syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/type/date.proto";
'''


def schema(wanted):
    """The text of the option "schema"."""
    if wanted == 'avro':
        return json.dumps({'type': 'record', 'name': 'Session',
                           'fields': [{'name': name, 'type': AVRO_TYPES[name]} for name in FIELDS]})
    fields = ''.join(f'  {PROTO_TYPES[name]} {name} = {n};\n' for n, name in enumerate(FIELDS, 1))
    return f'{PROTO_HEAD}message Session {{\n{fields}}}\n'


def varint(n):
    """An unsigned number, or a negative one as 64 bits."""
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    """A signed number of Avro's."""
    return varint(n << 1 ^ n >> 63)


def days(text):
    """From 1970-01-01 to a date."""
    return datetime.date.fromisoformat(text).toordinal() - 719163


def micros(text):
    """From 1970-01-01 to a time with six digits behind the point."""
    moment = datetime.datetime.fromisoformat(text)
    return calendar.timegm(moment.timetuple()) * 10**6 + moment.microsecond


def avro(session):
    """The record's bytes."""
    out = bytearray()
    for name in FIELDS:
        value = session[name]
        if AVRO_TYPES[name] == 'string' or name == 'unique_id':
            value = value.encode()
            out += zigzag(len(value)) + value
        elif name == 'birth_date':
            out += zigzag(days(value))
        elif name == 'accessed_at':
            out += zigzag(micros(value))
        else:
            out += zigzag(int(value))
    return out


def pieces(*numbers):
    """A message of numbers; what is zero is left out."""
    return b''.join(varint(n << 3) + varint(number) for n, number in enumerate(numbers, 1) if number)


def protobuf(session):
    """The message's bytes."""
    out = bytearray()
    for n, name in enumerate(FIELDS, 1):
        value = session[name]
        kind = PROTO_TYPES[name]
        if kind.startswith('int'):
            if int(value):
                out += varint(n << 3) + varint(int(value))
            continue
        if kind == 'string':
            value = value.encode()
        elif kind == 'google.type.Date':
            value = pieces(*map(int, value.split('-')))
        else:
            seconds, fraction = divmod(micros(value), 10**6)
            value = pieces(seconds, fraction * 1000)
        out += varint(n << 3 | 2) + varint(len(value)) + value
    return out


def main(args):
    """See above."""
    if len(args) == 2 and args[0] == 'schema' and args[1] in ('avro', 'protobuf'):
        print(schema(args[1]), end='')
    elif len(args) == 1 and args[0] in ('avro', 'protobuf'):
        encode = avro if args[0] == 'avro' else protobuf
        sys.stdout.writelines(encode(json.loads(line)).hex() + '\n' for line in sys.stdin)
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv[1:])
