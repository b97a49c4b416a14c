"""Random Protobuf schemas and messages, read by the decoder and by Google's.

    proto_cases.py DECODER_DUMP [MESSAGES [SEED]]

Schemas of proto2, proto3 and editions are written as .proto text; protoc makes
descriptors of them.  What our reader finds in the text must be what it finds in
the descriptors.  Messages are written field by field: in any order, packed and
not, in parts that are to be merged, with fields that the schema does not have.
Half of them have a byte changed, left out or put in.  What the decoder reads must
be what Google's library reads, as a whole and at a random path.

The decoder refuses a known field with another wire type, and text that is not
UTF-8 in proto2, too: so a message may be bad to the decoder alone if it was
spoilt.  It does not look at values that do not count, for the same field or another
one of its oneof came later: so few messages that were spoilt are bad to Google's
library alone, which reads them all; and entries of maps that have unknown fields
are unknown fields there.  Enums of proto2 keep unnamed numbers among
the unknown fields there: its messages are not spoilt where they have enums.

Change events whose rows are such messages must do what their operation says, with the
row that Google's library reads, or none.

Prints TAP; the seed is in its first line.
"""

import base64
import datetime
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import google.protobuf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

SCALARS = ['double', 'float', 'int64', 'uint64', 'int32', 'fixed64', 'fixed32', 'bool', 'string',
           'bytes', 'uint32', 'sfixed32', 'sfixed64', 'sint32', 'sint64']
KEYS = [scalar for scalar in SCALARS if scalar not in ('double', 'float', 'bytes')]
KNOWN = ['google.protobuf.Timestamp', 'google.protobuf.Duration', 'google.protobuf.StringValue',
         'google.protobuf.Int64Value', 'google.protobuf.DoubleValue', 'google.protobuf.BoolValue',
         'google.protobuf.BytesValue', 'google.protobuf.UInt64Value', 'google.type.Date', 'google.type.TimeOfDay', 'confluent.type.Decimal']
MESSAGES_OF_A_SCHEMA = 20
IMPORTED = {
    'google/type/date.proto': 'syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }',
    'google/type/timeofday.proto': 'syntax = "proto3"; package google.type; message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }',
    'confluent/type/decimal.proto': 'syntax = "proto3"; package confluent.type; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }',
}
IMPORTS = ''.join('import "%s"; ' % name for name in list(IMPORTED) + [
    'google/protobuf/timestamp.proto', 'google/protobuf/duration.proto', 'google/protobuf/wrappers.proto'])


# ---- schemas

class Schema:
    """Makes the text of one schema."""

    def __init__(self, rnd, number):
        self.rnd = rnd
        self.syntax = rnd.choice(['proto2', 'proto3', 'proto3', 'edition'])
        self.names = 0
        self.types = []         # full names that can be used from anywhere
        self.package = 'p%d%s' % (number, rnd.choice(['', '.q', '.q.r']))
        head = 'edition = "2023";' if self.syntax == 'edition' else 'syntax = "%s";' % self.syntax
        if rnd.random() < 0.1 and self.syntax == 'proto2':
            head = ''
        self.implicit = self.syntax == 'edition' and rnd.random() < 0.3
        options = 'option features.field_presence = IMPLICIT; ' if self.implicit else ''
        if rnd.random() < 0.3:
            options += 'option java_package = "a;b{c"; /* option x = "y */ '
        body = ''.join(self.message(self.package, rnd.randrange(1, 4)) for _ in range(rnd.randrange(3)))
        self.main = 'Main'
        body += self.message(self.package, 3, 'Main')
        label = 'optional ' if self.syntax == 'proto2' else ''
        body += 'message Event { %sMain before = 1; %sMain after = 2; %sstring op = 4; } ' % (label, label, label)
        self.text = '%s package %s; %s%s%s' % (head, self.package, IMPORTS, options, body)

    def name(self, prefix):
        self.names += 1
        return '%s%d' % (prefix, self.names)

    def enum(self, scope):
        name = self.name('E')
        rnd = self.rnd
        numbers = [0] + rnd.sample([1, 2, 3, -1, 7, 2147483647, -2147483648], rnd.randrange(4))
        self.types.append(('enum', scope + '.' + name))
        return 'enum %s { %s } ' % (name, ' '.join(
            '%s_%d = %s%s;' % (name, i, hex(n) if n > 0 and rnd.random() < 0.3 else n,
                               rnd.choice(['', '', ' [deprecated = true]']))
            for i, n in enumerate(numbers)))

    def reference(self, scope, full):
        """A type's name, whole or from where we are."""
        if full.startswith(scope + '.') and self.rnd.random() < 0.7:
            return full[len(scope) + 1:]
        if full.startswith(self.package + '.') and self.rnd.random() < 0.5:
            return full[len(self.package) + 1:]
        return '.' + full

    def type(self, scope, message=True):
        rnd = self.rnd
        case = rnd.randrange(10)
        usable = [t for t in self.types if message or t[0] == 'enum']
        if case < 3 and usable:
            kind, full = rnd.choice(usable)
            return kind, self.reference(scope, full)
        if case < 4 and message:
            return 'message', rnd.choice(['', '.']) + rnd.choice(KNOWN)
        return 'scalar', rnd.choice(SCALARS)

    def options(self, kind, repeated, oneof):
        rnd = self.rnd
        options = []
        if rnd.random() < 0.1:
            options.append('deprecated = true')
        if rnd.random() < 0.1:
            options.append('json_name = "j%d]"' % self.names)
        if self.syntax == 'edition':
            if kind == 'message' and rnd.random() < 0.2:
                options.append('features.message_encoding = DELIMITED')
            if kind != 'message' and not repeated and not oneof and rnd.random() < 0.4:
                options.append(rnd.choice(['features.field_presence = %s', 'features = { field_presence: %s }']) %
                               rnd.choice(['IMPLICIT', 'EXPLICIT', 'LEGACY_REQUIRED']))
        return ' [%s]' % ', '.join(options) if options else ''

    def field(self, scope, depth, oneof=False):
        rnd = self.rnd
        number = self.numbers.pop()
        if not oneof and rnd.random() < 0.12:
            kind, value = self.type(scope)
            return 'map<%s, %s> %s = %d; ' % (rnd.choice(KEYS), value, self.name('m_x'), number)
        repeated = not oneof and rnd.random() < 0.25
        label = 'repeated ' if repeated else ''
        if self.syntax == 'proto2' and not oneof and not repeated:
            label = rnd.choice(['optional ', 'optional ', 'required '])
        if self.syntax == 'proto3' and not oneof and not repeated:
            label = rnd.choice(['', '', 'optional '])
        if self.syntax == 'proto2' and depth > 0 and rnd.random() < 0.08:
            name = self.name('Gr')
            self.types.append(('message', scope + '.' + name))
            return '%sgroup %s = %d { %s} ' % (label, name, number, self.body(scope + '.' + name, depth - 1))
        kind, name = self.type(scope)
        packed = ''
        if repeated and (kind == 'enum' or name not in ('string', 'bytes')) and kind != 'message' \
                and self.syntax != 'edition' and rnd.random() < 0.5:
            packed = ' [packed = %s]' % rnd.choice(['true', 'false'])
        return '%s%s %s = %d%s; ' % (label, name, self.name('f'), number,
                                     packed or self.options(kind, repeated, oneof))

    def body(self, scope, depth):
        rnd = self.rnd
        saved = getattr(self, 'numbers', None)
        self.numbers = rnd.sample(list(range(1, 30)) + [100, 999, 1000, 1001, 5000, 18999, 536870911], 30)
        parts = []
        if rnd.random() < 0.3:
            parts.append('reserved %d, 40 to 50; ' % self.numbers.pop())
        for _ in range(rnd.randrange(2 if depth > 0 else 1)):
            parts.append(self.message(scope, depth - 1) if depth > 0 else self.enum(scope))
        if rnd.random() < 0.4:
            parts.append(self.enum(scope))
        for _ in range(rnd.randrange(1, 8)):
            if rnd.random() < 0.15:
                parts.append('oneof %s { %s} ' % (self.name('o'), ''.join(
                    self.field(scope, depth, True) for _ in range(rnd.randrange(1, 4)))))
            else:
                parts.append(self.field(scope, depth))
        if rnd.random() < 0.1:
            parts.append(';; /* ; } */ ')
        self.numbers = saved
        return ''.join(parts)

    def message(self, scope, depth, name=None):
        name = name or self.name('M')
        full = scope + '.' + name
        early = self.rnd.random() < 0.5     # may its own fields be of its type?
        if early:
            self.types.append(('message', full))
        text = 'message %s { %s} ' % (name, self.body(full, depth))
        if not early:
            self.types.append(('message', full))
        return text


def compile_schemas(schemas):
    """The file descriptors of all of them, by protoc."""
    with tempfile.TemporaryDirectory() as where:
        for name, text in list(IMPORTED.items()) + [('s%d.proto' % i, s.text) for i, s in enumerate(schemas)]:
            path = os.path.join(where, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w') as out:
                out.write(text)
        made = os.path.join(where, 'made')
        names = ['s%d.proto' % i for i in range(len(schemas))]
        done = subprocess.run([sys.executable, '-m', 'grpc_tools.protoc', '-I' + where, '--include_imports',
                               '--descriptor_set_out=' + made] + names, cwd=where, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit('# protoc: ' + '\n# '.join([line for line in done.stderr.splitlines() if 'warning' not in line][:20]))
        with open(made, 'rb') as given:
            return descriptor_pb2.FileDescriptorSet.FromString(given.read())


# ---- messages

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


WIRE = {1: 1, 2: 5, 3: 0, 4: 0, 5: 0, 6: 1, 7: 5, 8: 0, 9: 2, 10: 3, 11: 2, 12: 2, 13: 0, 14: 0, 15: 5, 16: 1, 17: 0, 18: 0}


class Messages:
    """Makes messages of a type."""

    def __init__(self, rnd):
        self.rnd = rnd

    def integer(self, bits):
        n = self.rnd.getrandbits(self.rnd.randrange(bits))
        return self.rnd.choice([n, ~n])

    def text(self):
        return ''.join(self.rnd.choice('ab"\\\n\x01\x7fäß€😀/') for _ in range(self.rnd.randrange(6))).encode()

    def scalar(self, field):
        rnd, kind = self.rnd, field.type
        if kind in (1, 6, 16):
            return rnd.choice([struct.pack('<d', rnd.random()), struct.pack('<q', self.integer(64)),
                               bytes(rnd.getrandbits(8) for _ in range(8))])
        if kind in (2, 7, 15):
            return rnd.choice([struct.pack('<f', rnd.random()), struct.pack('<i', self.integer(32))])
        if kind == 14:
            if rnd.random() < 0.2 and not field.enum_type.is_closed:
                return varint(self.integer(32))
            return varint(rnd.choice(field.enum_type.values).number)
        if kind == 8:
            return varint(rnd.choice([0, 1, 1, 2 ** 63]))
        if kind in (17, 18):
            n = self.integer(32 if kind == 17 else 64)
            return varint((n << 1) ^ (n >> 63))
        return varint(self.integer(32 if kind in (5, 13) and rnd.random() < 0.9 else 64))

    def known(self, name):
        rnd = self.rnd
        if name == 'google.protobuf.Timestamp':
            return b'\x08' + varint(rnd.randrange(-62135596800, 253402300800)) + rnd.choice([b'', b'\x10' + varint(rnd.randrange(10 ** 9))])
        if name == 'google.protobuf.Duration':
            sign = rnd.choice([1, -1])
            return b'\x08' + varint(sign * rnd.getrandbits(rnd.randrange(38))) + rnd.choice([b'', b'\x10' + varint(sign * rnd.randrange(10 ** 9))])
        if name == 'google.type.Date':
            return b''.join(bytes([8 * n]) + varint(rnd.randrange(limit)) for n, limit in ((1, 10000), (2, 13), (3, 32)) if rnd.random() < 0.9)
        if name == 'google.type.TimeOfDay':
            return b''.join(bytes([8 * n]) + varint(rnd.randrange(*bound)) for n, bound in enumerate(((0, 25), (0, 61), (0, 62), (-10 ** 8, 10 ** 9 + 1)), 1) if rnd.random() < 0.8)
        if name == 'confluent.type.Decimal':
            body = bytes(rnd.getrandbits(8) for _ in range(rnd.randrange(12)))
            return b'\x0a' + varint(len(body)) + body + b'\x10\x0a' + rnd.choice([b'', b'\x18' + varint(rnd.randrange(25))])
        return None

    def value(self, field, depth):
        """What follows the tag."""
        if field.type in (9, 12):
            text = self.text()
            return varint(len(text)) + text
        if field.type in (10, 11):
            body = self.known(field.message_type.full_name)
            if body is None:
                body = self.make(field.message_type, depth - 1)
            if field.type == 10:
                return body + varint(field.number << 3 | 4)
            return varint(len(body)) + body
        return self.scalar(field)

    def field(self, field, depth):
        rnd = self.rnd
        tag = varint(field.number << 3 | WIRE[field.type])
        if not field.is_repeated:
            if field.type in (10, 11) and depth <= 0:
                return []
            return [tag + self.value(field, depth) for _ in range(rnd.choice([1, 1, 1, 2]))]
        parts = []
        for _ in range(rnd.choice([0, 1, 2, 3]) if depth > 0 or field.type not in (10, 11) else 0):
            if field.type not in (9, 10, 11, 12) and rnd.random() < 0.5:
                body = b''.join(self.scalar(field) for _ in range(rnd.randrange(4)))
                parts.append(varint(field.number << 3 | 2) + varint(len(body)) + body)
            else:
                parts.append(tag + self.value(field, depth))
        return parts

    def unknown(self, number):
        rnd = self.rnd
        wire = rnd.choice([0, 1, 2, 3, 5])
        body = {0: lambda: varint(self.integer(64)), 1: lambda: b'12345678', 5: lambda: b'1234',
                2: lambda: b'\x03abc', 3: lambda: b'\x08\x05' + varint(number << 3 | 4)}[wire]()
        return varint(number << 3 | wire) + body

    def make(self, message, depth):
        rnd = self.rnd
        parts = []
        for field in message.fields:
            if rnd.random() < 0.7:
                parts.extend(self.field(field, depth))
        if rnd.random() < 0.2 and not message.GetOptions().map_entry:
            parts.append(self.unknown(rnd.choice([31, 32, 70000])))
        if rnd.random() < 0.3:
            rnd.shuffle(parts)
        return b''.join(parts)

    def spoil(self, message):
        rnd = self.rnd
        message = bytearray(message)
        at = rnd.randrange(len(message) + 1)
        case = rnd.randrange(3)
        if case == 0 and at < len(message):
            message[at] = rnd.getrandbits(8)
        elif case == 1:
            del message[at:at + 1]
        else:
            message.insert(at, rnd.getrandbits(8))
        return bytes(message)


def has_closed_enum(message, seen):
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    return any(field.enum_type is not None and field.enum_type.is_closed or
               field.message_type is not None and has_closed_enum(field.message_type, seen) for field in message.fields)


# ---- what a message is

class Text(str):
    """A number as it must be written."""


class Anything:
    """What has no text in Python."""


def timestamp(message):
    usecs = message.seconds * 1000000 + message.nanos // 1000
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=usecs)
    except OverflowError:
        return Anything
    text = moment.strftime('T%H:%M:%S') if moment.microsecond == 0 else moment.strftime('T%H:%M:%S.%f').rstrip('0')
    return '%04d-%02d-%02d%s+00:00' % (moment.year, moment.month, moment.day, text)


def duration(message):
    nanos = message.seconds * 10 ** 9 + message.nanos
    text = '%d.%09d' % divmod(abs(nanos), 10 ** 9)
    return ('-' if nanos < 0 else '') + text.rstrip('0').rstrip('.') + 's'


def date(message):
    try:
        return datetime.date(message.year, message.month, message.day).isoformat()
    except (ValueError, OverflowError):
        if message.year > 9999:
            return Anything
        return '%04d-%02d-%02d' % (message.year, message.month, message.day)


def time_of_day(message):
    parts = message.hours, message.minutes, message.seconds
    usecs = ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 10 ** 6 + message.nanos // 1000
    if min(parts) < 0 or parts[1] > 59 or parts[2] > 60 or not 0 <= message.nanos < 10 ** 9 or usecs > 86400 * 10 ** 6:
        return ('%02d:%02d:%02d.%09d' if message.nanos >= 0 else '%02d:%02d:%02d and %d ns') % (parts + (message.nanos,))
    seconds, usecs = divmod(usecs, 10 ** 6)
    text = '%02d:%02d:%02d' % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    return text + ('.%06d' % usecs).rstrip('0') if usecs else text


def decimal(message):
    number, scale = int.from_bytes(message.value, 'big', signed=True), message.scale
    if not 0 <= scale <= 16383:
        return Anything
    digits = str(abs(number)).rjust(scale + 1, '0')
    text = digits if scale == 0 else digits[:-scale] + '.' + digits[-scale:]
    return Text(('-' if number < 0 else '') + text)


def scalar(field, value):
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named is not None else str(value)
    if isinstance(value, bytes):
        return '\\x' + value.hex()
    if isinstance(value, float):
        if value != value:
            return 'NaN'
        return value if abs(value) != float('inf') else 'Infinity' if value > 0 else '-Infinity'
    return value


def one(field, value):
    return expected(value) if field.message_type is not None else scalar(field, value)


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def expected(message):
    """What the document has for a message that Google's library has read."""
    name = message.DESCRIPTOR.full_name
    special = {'google.protobuf.Timestamp': timestamp, 'google.protobuf.Duration': duration,
               'google.type.Date': date, 'google.type.TimeOfDay': time_of_day, 'confluent.type.Decimal': decimal}.get(name)
    if special is not None:
        return special(message)
    if name.startswith('google.protobuf.') and name.endswith('Value'):
        return scalar(message.DESCRIPTOR.fields[0], message.value)
    result = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_map(field):
            value_field = field.message_type.fields_by_name['value']
            result[field.name] = {str(key).lower() if isinstance(key, bool) else str(key): one(value_field, value[key]) for key in value}
        elif field.is_repeated:
            result[field.name] = [one(field, element) for element in value]
        elif not field.has_presence or message.HasField(field.name):
            result[field.name] = one(field, value)
    return result


def has_odd_entry(message):
    """Has Google's library put an entry of a map away, for it has unknown fields itself?"""
    maps = {field.number for field in message.DESCRIPTOR.fields if is_map(field)}
    if any(field.field_number in maps for field in UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if is_map(field):
            inner = [value[key] for key in value if field.message_type.fields_by_name['value'].message_type]
        else:
            inner = [] if field.message_type is None else value if field.is_repeated else [value]
        if any(map(has_odd_entry, inner)):
            return True
    return False


def same(ours, theirs):
    if theirs is Anything:
        return True
    if isinstance(theirs, (Text, int)) and not isinstance(theirs, bool):
        return isinstance(ours, Text) and str(ours) == str(theirs)
    if isinstance(theirs, bool) or theirs is None:
        return ours is theirs
    if isinstance(theirs, float):
        return isinstance(ours, Text) and struct.pack('<d', float(ours)) == struct.pack('<d', theirs)
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and set(ours) == set(theirs) and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is str and ours == theirs


def load(text):
    return json.loads(text, parse_int=Text, parse_float=Text)


def walk(rnd, value):
    """A path that a message may have."""
    path = ''
    while rnd.random() < 0.8:
        if isinstance(value, dict) and value:
            key = rnd.choice(list(value))
            if not key.replace('_', '').isalnum() or not key.isascii() or key[0].isdigit():
                break
            path, value = path + '/' + key, value[key]
        elif isinstance(value, list) and value:
            i = rnd.randrange(len(value))
            path, value = path + '/%d' % i, value[i]
        else:
            break
    return path


ABSENT = object()


def at(message, value, path):
    """What is at a path: NULL in and below what has presence, if it is not there."""
    field, inside = None, False
    if value is Anything:
        return Anything
    for step in path.split('/')[1:]:
        if field is not None and not inside and is_map(field):
            if not isinstance(value, dict) or step not in value:
                return ABSENT
            value, field, inside = value[step], field.message_type.fields_by_name['value'], True
        elif field is not None and not inside and field.is_repeated:
            if not isinstance(value, list) or int(step) >= len(value):
                return ABSENT
            value, inside = value[int(step)], True
        else:
            message = field.message_type if field is not None else message
            field, inside = message.fields_by_name[step], False
            value = value.get(step) if isinstance(value, dict) else None
    return value


# ---- comparing

class Cases:
    def __init__(self, count, seed):
        self.rnd = random.Random(seed)
        self.lines = []
        self.readings = []
        self.lenient = 0        # spoilt messages that are bad to Google's library alone
        self.schemas = [Schema(self.rnd, i) for i in range(-(-count // MESSAGES_OF_A_SCHEMA))]
        files = compile_schemas(self.schemas)
        by_name = {file.name: file for file in files.file}
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        imported = [file for file in files.file if not file.name.startswith('s')]
        self.encoded = []
        for i, schema in enumerate(self.schemas):
            made = by_name['s%d.proto' % i]
            given = descriptor_pb2.FileDescriptorSet(file=imported + [made]) if i % 2 else made
            self.encoded.append(base64.b64encode(given.SerializeToString()).decode())
            self.add(schema, self.encoded[-1])

    def add(self, schema, encoded):
        rnd = self.rnd
        name = schema.package + '.' + schema.main
        message_type = self.pool.FindMessageTypeByName(name)
        message_class = message_factory.GetMessageClass(message_type)
        messages = Messages(rnd)
        spoilable = not has_closed_enum(message_type, set())
        path = ''
        for i in range(MESSAGES_OF_A_SCHEMA):
            good = i % 2 == 0 or not spoilable
            data = messages.make(message_type, rnd.randrange(1, 6))
            if not good:
                data = messages.spoil(data)
            message, theirs, reason = message_class(), None, None
            try:
                message.MergeFromString(data)
                theirs = (Anything if has_odd_entry(message) else expected(message),)
            except (DecodeError, UnicodeDecodeError) as error:
                reason = str(error)
            if i == 0 and theirs is not None:
                path = walk(rnd, theirs[0])
            self.lines.append('%s\t%s\t%s\t%s\n' % (schema.text if i < MESSAGES_OF_A_SCHEMA // 2 else encoded, data.hex(), path, name))
            self.readings.append((good, theirs, reason, path, message_type))

    def verdict(self, line, good, theirs, reason, path, message_type):
        """What is wrong with our reading, or None; and whether both have one."""
        if line.startswith('!'):
            if good or line.startswith('! schema'):
                return 'we refuse what is good: ' + line, False
            return None, False
        whole, part = line.split('\t')
        if theirs is None:
            self.lenient += 1
            return 'we take what Google refuses: ' + reason if good else None, False
        if not same(load(whole), theirs[0]):
            return 'we read %s, Google %r' % (whole, theirs[0]), True
        there = at(message_type, theirs[0], path)
        if there is Anything:
            return None, False
        if part == 'absent' if there is not ABSENT else part != 'absent':
            return 'at %s we have %s' % (path, part), True
        if there is not ABSENT and not same(load(part), there):
            return 'at %s we have %s, Google %r' % (path, part, there), True
        return None, True


OPERATIONS = {'c': 'write', 'r': 'write', 'u': 'write', 'd': 'delete', 't': 'ignore', 'm': 'ignore'}


class Events:
    """Change events of the schemas of cases."""

    def __init__(self, cases, count):
        self.rnd = cases.rnd
        self.lines = []
        self.readings = []
        for i, schema in enumerate(cases.schemas):
            self.path = ''
            for _ in range(-(-count // len(cases.schemas))):
                self.add(cases, schema, cases.encoded[i])

    def event(self, messages, row_type):
        """Parts of an event in any order; a row may come in several."""
        rnd = self.rnd
        parts = []
        for number in (1, 2):
            for _ in range(rnd.choice([0, 1, 1, 2])):
                row = messages.make(row_type, rnd.randrange(1, 4)) if rnd.random() < 0.9 else b''
                parts.append(bytes([number << 3 | 2]) + varint(len(row)) + row)
        for _ in range(rnd.choice([0, 1, 1, 1, 1, 1, 2])):
            op = rnd.choice(['c', 'u', 'u', 'r', 'd', 'd', 't', 'm', 'x', ''])
            parts.append(b'\x22' + varint(len(op)) + op.encode())
        rnd.shuffle(parts)
        return b''.join(parts)

    def add(self, cases, schema, encoded):
        row_type = cases.pool.FindMessageTypeByName(schema.package + '.Main')
        event_type = cases.pool.FindMessageTypeByName(schema.package + '.Event')
        data = self.event(Messages(self.rnd), row_type)
        event = message_factory.GetMessageClass(event_type)()
        event.MergeFromString(data)
        done = OPERATIONS.get(event.op)
        name = 'before' if done == 'delete' else 'after'
        row = getattr(event, name) if event.HasField(name) else None
        if done == 'write' and row is None:
            done = None
        theirs = None if row is None else Anything if has_odd_entry(row) else expected(row)
        path = self.path = walk(self.rnd, theirs) if theirs is not None else self.path
        self.lines.append('%s\t%s\t%s\t%s\n' % (self.rnd.choice([schema.text, encoded]), data.hex(), path, event_type.full_name))
        self.readings.append((done, theirs, path, row_type))

    def verdict(self, line, done, theirs, path, row_type):
        """What is wrong with our reading, or None."""
        if done is None or line.startswith('!'):
            return None if done is None and line.startswith('! 22023') else 'we read %s' % line
        ours, whole, part = line.split('\t')
        if ours != done or not same(load(whole), theirs):
            return 'we read %s %s, Google %s %r' % (ours, whole, done, theirs)
        there = at(row_type, theirs, path) if theirs is not None or path == '' else ABSENT
        if part == 'absent' if there is not ABSENT else part != 'absent':
            return 'at %s we have %s' % (path, part)
        if there is not ABSENT and not same(load(part), there):
            return 'at %s we have %s, Google %r' % (path, part, there)
        return None


def report(number, good, what, notes):
    print('%sok %d - %s' % ('' if good else 'not ', number, what))
    sys.stdout.write(''.join('# %s\n' % line for line in notes[:50]))
    return good


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().getrandbits(32)
    print('# seed %d, protobuf %s' % (seed, google.protobuf.__version__), flush=True)
    cases = Cases(count, seed)
    def run(mode, lines, *more):
        return subprocess.run([program, mode, *more], input=''.join(lines), capture_output=True, text=True, encoding='utf-8')

    done = run('protobuf', cases.lines)
    output = done.stdout.split('\n')[:-1]
    found, both = [], 0
    for i, line in enumerate(output):
        wrong, compared = cases.verdict(line, *cases.readings[i])
        both += compared
        if wrong:
            found.append('%s# %s' % (cases.lines[i], wrong))
    good = report(1, done.returncode == 0 and len(output) == len(cases.lines), '%d messages were read' % len(output), done.stderr.splitlines())
    good &= report(2, not found and both >= count / 3 and cases.lenient < count / 100,
                   '%d readings are those of Google\'s library, which alone refuses %d spoilt messages' % (both, cases.lenient), '\n'.join(found[:5]).splitlines())
    texts = run('--schema', [schema.text + '\n' for schema in cases.schemas])
    descriptors = run('--schema', [encoded + '\n' for encoded in cases.encoded])
    pairs = list(zip(texts.stdout.split('\n'), descriptors.stdout.split('\n')))[:-1]
    differ = [note for text, descriptor in pairs if text != descriptor or text.startswith('!') for note in (text, descriptor)]
    good &= report(3, len(pairs) == len(cases.schemas) and not differ, '%d schemas are in text what protoc makes of them' % len(pairs),
                   differ + texts.stderr.splitlines() + descriptors.stderr.splitlines())
    events = Events(cases, max(count // 4, 1))
    done = run('protobuf', events.lines, '--events')
    output = done.stdout.split('\n')[:-1]
    found = [events.lines[i] + '# ' + wrong for i, wrong in enumerate(map(lambda line, reading: events.verdict(line, *reading), output, events.readings)) if wrong]
    good &= report(4, done.returncode == 0 and len(output) == len(events.lines) and not found,
                   '%d change events do what they say' % len(output), '\n'.join(found[:5]).splitlines() + done.stderr.splitlines())
    print('1..4')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
