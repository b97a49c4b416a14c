"""Random Avro schemas and messages, read by the decoder and by fastavro.

    avro_cases.py DECODER_DUMP [MESSAGES [SEED]]

Half of the messages are as they should be, with arrays and maps in blocks of
every form; the others have a byte changed, left out or put in.  What the
decoder reads must be what fastavro reads, as a whole and at a random path.
fastavro takes more than the specification allows, so that a message may be bad
to the decoder alone if it was spoilt, but never to fastavro alone.

Prints TAP; the seed is in its first line.
"""

import datetime
import io
import json
import random
import resource
import struct
import subprocess
import sys
import uuid
from decimal import Decimal

import fastavro
import fastavro.read

PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']
LOGICAL = [
    {'type': 'int', 'logicalType': 'date'}, {'type': 'int', 'logicalType': 'time-millis'},
    {'type': 'long', 'logicalType': 'time-micros'}, {'type': 'long', 'logicalType': 'timestamp-millis'},
    {'type': 'long', 'logicalType': 'timestamp-micros'}, {'type': 'long', 'logicalType': 'timestamp-nanos'},
    {'type': 'long', 'logicalType': 'local-timestamp-millis'}, {'type': 'long', 'logicalType': 'local-timestamp-micros'},
    {'type': 'string', 'logicalType': 'uuid'}, {'type': 'string', 'logicalType': 'date'}, {'type': 'long', 'logicalType': 'fortnight'},
]
MESSAGES_OF_A_SCHEMA = 20


# ---- schemas

class Schemas:
    """Makes one schema."""

    def __init__(self, rnd):
        self.rnd = rnd
        self.names = 0
        self.done = []      # full names that can be used from here on
        self.open = []      # those of records that are being made

    def name(self):
        self.names += 1
        name = 'n%d' % self.names
        if self.rnd.random() < 0.3:
            return name, 'a.b', 'a.b.' + name
        return name, '', name

    def named(self, kind, **more):
        name, namespace, full = self.name()
        made = {'type': kind, 'name': name, 'namespace': namespace, **more}
        self.done.append(full)
        return made

    def scalar(self):
        rnd = self.rnd
        case = rnd.randrange(10)
        if case < 5:
            return rnd.choice(PRIMITIVES)
        if case < 7:
            return dict(rnd.choice(LOGICAL))
        if case == 7:
            return self.named('enum', symbols=['S%d' % i for i in range(rnd.randrange(1, 5))])
        if case == 8:
            precision = rnd.randrange(1, 60)
            return {'type': 'bytes', 'logicalType': 'decimal', 'precision': precision, 'scale': rnd.randrange(precision + 1)}
        size = rnd.choice([0, 1, 5, 8, 12, 16, 17])
        more = {'logicalType': 'duration'} if size == 12 else {'logicalType': 'decimal', 'precision': 38, 'scale': rnd.randrange(20)} \
            if rnd.random() < 0.5 and size > 0 else {}
        if more.get('logicalType') == 'decimal':
            # fastavro ignores it where the size cannot hold the precision
            more['precision'] = max(1, {1: 2, 5: 11, 8: 18, 16: 38, 17: 40}[size])
            more['scale'] = rnd.randrange(more['precision'] + 1)
        return self.named('fixed', size=size, **more)

    def union(self, depth):
        branches, kinds = [], set()
        for _ in range(self.rnd.randrange(1, 5)):
            branch = self.type(depth - 1, union=True)
            kind = branch if isinstance(branch, str) else branch['type']
            if isinstance(branch, dict) and 'name' in branch:
                kind = branch['namespace'] + '.' + branch['name']
            if kind not in kinds:
                kinds.add(kind)
                branches.append(branch)
            elif isinstance(branch, dict) and 'name' in branch:
                raise AssertionError('a name twice')
        return branches

    def type(self, depth, union=False):
        rnd = self.rnd
        case = rnd.randrange(12)
        if depth <= 0 or case < 4:
            return self.scalar()
        if case < 5 and self.done:
            return rnd.choice(self.done)
        if case < 6 and self.open and not union:
            return ['null', rnd.choice(self.open)]
        if case < 8 and not union:
            return self.union(depth)
        if case < 9:
            return {'type': 'array', 'items': self.type(depth - 1)}
        if case < 10:
            return {'type': 'map', 'values': self.type(depth - 1)}
        return self.record(depth)

    def record(self, depth):
        name, namespace, full = self.name()
        self.open.append(full)
        fields = [{'name': 'f%d' % i, 'type': self.type(depth - 1)} for i in range(self.rnd.randrange(0, 6))]
        self.open.remove(full)
        self.done.append(full)
        return {'type': 'record', 'name': name, 'namespace': namespace, 'fields': fields}


def collect(schema, named):
    """The definitions in a schema, by full name."""
    if isinstance(schema, list):
        for branch in schema:
            collect(branch, named)
    elif isinstance(schema, dict):
        if 'name' in schema:
            named[(schema['namespace'] + '.' if schema['namespace'] else '') + schema['name']] = schema
        for field in schema.get('fields', []):
            collect(field['type'], named)
        for part in ('items', 'values'):
            if part in schema:
                collect(schema[part], named)
    return named


def is_empty(schema, named, within=()):
    """Do its values take no bytes?"""
    if isinstance(schema, str) and schema in named:
        return schema not in within and is_empty(named[schema], named, within + (schema,))
    if isinstance(schema, dict) and schema['type'] == 'record':
        return all(is_empty(field['type'], named, within) for field in schema['fields'])
    return schema == 'null' or isinstance(schema, dict) and (schema['type'] == 'null' or schema.get('size') == 0)


def has_empty_items(schema, named):
    """Has it an array without end, where a count is spoilt?  fastavro would read it."""
    if isinstance(schema, list):
        return any(has_empty_items(branch, named) for branch in schema)
    if isinstance(schema, str):
        return False
    return 'items' in schema and is_empty(schema['items'], named) or \
        any(has_empty_items(schema[part], named) for part in ('items', 'values') if part in schema) or \
        any(has_empty_items(field['type'], named) for field in schema.get('fields', []))


# ---- messages

def varint(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


class Messages:
    """Makes messages of a schema."""

    def __init__(self, rnd, named):
        self.rnd = rnd
        self.named = named

    def integer(self, bits):
        n = self.rnd.getrandbits(self.rnd.randrange(bits))
        return self.rnd.choice([n, ~n])

    def counted(self, schema):
        rnd = self.rnd
        logical = schema.get('logicalType')
        day = 86400
        if logical == 'date':
            return rnd.randrange(-719162, 2932896)
        if logical == 'time-millis':
            return rnd.randrange(day * 1000)
        if logical == 'time-micros':
            return rnd.randrange(day * 1000000)
        for unit, factor in (('millis', 10 ** 3), ('micros', 10 ** 6), ('nanos', 10 ** 9)):
            if logical and logical.endswith('timestamp-' + unit):
                first, last = (-9223372036, 9223372036) if unit == 'nanos' else (-62135596800, 253402300800)
                return rnd.randrange(first * factor, last * factor)
        return self.integer(32 if schema['type'] == 'int' else 64)

    def items(self, one):
        rnd = self.rnd
        out = bytearray()
        for _ in range(rnd.choice([0, 1, 1, 2])):
            n = rnd.randrange(1, 4)
            block = b''.join(one() for _ in range(n))
            out += varint(-n) + varint(len(block)) if rnd.random() < 0.5 else varint(n)
            out += block
        return bytes(out) + b'\0'

    def text(self):
        text = ''.join(self.rnd.choice('ab"\\\n\x01\x7fäß€😀/') for _ in range(self.rnd.randrange(6))).encode()
        return varint(len(text)) + text

    def bytes(self, n):
        return bytes(self.rnd.getrandbits(8) for _ in range(n))

    def make(self, schema, depth):
        rnd = self.rnd
        if isinstance(schema, list):
            # a branch that ends, when it is deep enough
            ends = [i for i, branch in enumerate(schema) if branch == 'null']
            i = rnd.choice(ends) if ends and depth <= 0 else rnd.randrange(len(schema))
            return varint(i) + self.make(schema[i], depth)
        if isinstance(schema, str):
            if schema in self.named:
                return self.make(self.named[schema], depth)
            schema = {'type': schema}
        kind = schema['type']
        if kind == 'null':
            return b''
        if kind == 'boolean':
            return rnd.choice([b'\0', b'\1'])
        if kind in ('int', 'long'):
            return varint(self.counted(schema))
        if kind == 'float':
            return rnd.choice([self.bytes(4), struct.pack('<f', rnd.random()), struct.pack('<f', rnd.randrange(100))])
        if kind == 'double':
            return rnd.choice([self.bytes(8), struct.pack('<d', rnd.random()), struct.pack('<d', self.integer(64))])
        if kind == 'bytes':
            n = rnd.randrange(1, 25) if 'logicalType' in schema else rnd.randrange(5)
            return varint(n) + self.bytes(n)
        if kind == 'string':
            if schema.get('logicalType') == 'uuid':
                return varint(36) + str(uuid.UUID(int=rnd.getrandbits(128))).encode()
            return self.text()
        if kind == 'fixed':
            return self.bytes(schema['size'])
        if kind == 'enum':
            return varint(rnd.randrange(len(schema['symbols'])))
        if kind == 'array':
            return self.items(lambda: self.make(schema['items'], depth - 1)) if depth > 0 else b'\0'
        if kind == 'map':
            return self.items(lambda: self.text() + self.make(schema['values'], depth - 1)) if depth > 0 else b'\0'
        return b''.join(self.make(field['type'], depth - 1) for field in schema['fields'])

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


# ---- what a message is

class Text(str):
    """A number as it must be written."""


def moment(value, zone):
    text = value.strftime('T%H:%M:%S') if value.microsecond == 0 else value.strftime('T%H:%M:%S.%f').rstrip('0')
    return '%04d-%02d-%02d%s%s' % (value.year, value.month, value.day, text, zone)


def nanos(data, writer_schema=None, reader_schema=None):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return epoch + datetime.timedelta(microseconds=data // 1000)


def duration(data, writer_schema=None, reader_schema=None):
    months, days, millis = struct.unpack('<III', data)
    return '%d mons %d days %d.%03d secs' % (months, days, millis // 1000, millis % 1000)


fastavro.read.LOGICAL_READERS['long-timestamp-nanos'] = nanos
fastavro.read.LOGICAL_READERS['fixed-duration'] = duration


def decimal(data, writer_schema=None, reader_schema=None):
    """fastavro rounds to the precision, which the bytes may exceed."""
    scale = writer_schema.get('scale', 0)
    number = int.from_bytes(data, 'big', signed=True)
    digits = str(abs(number)).rjust(scale + 1, '0')
    text = digits if scale == 0 else digits[:-scale] + '.' + digits[-scale:]
    return Text(('-' if number < 0 else '') + text)


fastavro.read.LOGICAL_READERS['bytes-decimal'] = decimal
fastavro.read.LOGICAL_READERS['fixed-decimal'] = decimal


def expected(value):
    """What the document has for a value that fastavro has read."""
    if isinstance(value, Text) or value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        return {key: expected(member) for key, member in value.items()}
    if isinstance(value, list):
        return [expected(element) for element in value]
    if isinstance(value, bytes):
        return '\\x' + value.hex()
    if isinstance(value, float):
        if value != value:
            return 'NaN'
        return value if abs(value) != float('inf') else 'Infinity' if value > 0 else '-Infinity'
    if isinstance(value, datetime.datetime):
        return moment(value, '+00:00' if value.tzinfo else '')
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.strftime('%H:%M:%S') if value.microsecond == 0 else value.strftime('%H:%M:%S.%f').rstrip('0')
    if isinstance(value, uuid.UUID):
        return value
    raise AssertionError('fastavro gives a ' + type(value).__name__)


def same(ours, theirs):
    if isinstance(theirs, Text):
        return isinstance(ours, Text) and str(ours) == str(theirs)
    if isinstance(theirs, bool) or theirs is None:
        return ours is theirs
    if isinstance(theirs, int):
        return isinstance(ours, Text) and str(ours) == str(theirs)
    if isinstance(theirs, float):
        return isinstance(ours, Text) and struct.pack('<d', float(ours)) == struct.pack('<d', theirs)
    if isinstance(theirs, uuid.UUID):
        # as it was written
        return type(ours) is str and uuid.UUID(ours) == theirs
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is str and ours == theirs


def load(text):
    return json.loads(text, parse_int=Text, parse_float=Text)


def walk(rnd, value):
    """A path that a message may have, and what is there."""
    path = ''
    while rnd.random() < 0.8:
        if isinstance(value, dict) and value:
            key = rnd.choice(list(value))
            if not key.isalnum() or not key.isascii() or key[0].isdigit():
                break
            path, value = path + '/' + key, value[key]
        elif isinstance(value, list) and value:
            i = rnd.randrange(len(value))
            path, value = path + '/%d' % i, value[i]
        else:
            break
    return path


ABSENT = object()


def at(value, path):
    for step in path.split('/')[1:]:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value


def read(message, schema):
    """What fastavro reads, or None with the reason."""
    stream = io.BytesIO(message)
    try:
        value = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:      # whatever it trips over
        return None, '%s: %s' % (type(error).__name__, error)
    if stream.read(1):
        return None, 'bytes follow'
    return (expected(value),), None


# ---- comparing

class Cases:
    def __init__(self, count, seed):
        self.rnd = random.Random(seed)
        self.lines = []
        self.readings = []
        while len(self.lines) < count:
            self.add()

    def add(self):
        rnd = self.rnd
        try:
            schema = Schemas(rnd).type(rnd.randrange(1, 5)) if rnd.random() < 0.2 else Schemas(rnd).record(rnd.randrange(1, 5))
            parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
        except (AssertionError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType):
            return
        named = collect(schema, {})
        messages = Messages(rnd, named)
        spoilable = not has_empty_items(schema, named)
        path = ''
        for i in range(MESSAGES_OF_A_SCHEMA):
            good = i % 2 == 0 or not spoilable
            message = messages.make(schema, rnd.randrange(8))
            if not good:
                message = messages.spoil(message)
            theirs, reason = read(message, parsed)
            if i == 0 and theirs is not None:
                path = walk(rnd, theirs[0])
            self.lines.append('%s\t%s\t%s\n' % (json.dumps(schema), message.hex(), path))
            self.readings.append((good, theirs, reason, path))

    def verdict(self, line, good, theirs, reason, path):
        """What is wrong with our reading, or None; and whether both have one."""
        if line.startswith('!'):
            if path and line.startswith('! 22023'):
                return None, False      # this branch of the union has no fields
            if good or line.startswith('! schema'):
                return 'we refuse what is good: ' + line, False
            return None, False
        whole, part = line.split('\t')
        if theirs is None:
            # out of Python's range, not of Avro's; and a name that was defined within a union at the top
            known = ('OverflowError', 'ValueError', 'OSError', 'UnknownType')
            return (None if reason.startswith(known) else 'we take what fastavro refuses: ' + reason), False
        if not same(load(whole), theirs[0]):
            return 'we read %s, fastavro %r' % (whole, theirs[0]), True
        there = at(theirs[0], path)
        if part == 'absent' if there is not ABSENT else part != 'absent':
            return 'at %s we have %s' % (path, part), True
        if there is not ABSENT and not same(load(part), there):
            return 'at %s we have %s, fastavro %r' % (path, part, there), True
        return None, True


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().getrandbits(32)
    # fastavro allocates what a length claims
    unlimited = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, unlimited[1]))
    print('# seed %d, fastavro %s' % (seed, fastavro.__version__), flush=True)
    cases = Cases(count, seed)
    resource.setrlimit(resource.RLIMIT_DATA, unlimited)
    done = subprocess.run([sys.argv[1], 'avro'], input=''.join(cases.lines), capture_output=True, text=True, encoding='utf-8')
    output = done.stdout.split('\n')[:-1]
    found, both = [], 0
    for i, line in enumerate(output):
        wrong, compared = cases.verdict(line, *cases.readings[i])
        both += compared
        if wrong:
            found.append('%s# %s' % (cases.lines[i], wrong))
    print('%sok 1 - %d messages were read' % ('' if done.returncode == 0 and len(output) == len(cases.lines) else 'not ', len(output)))
    sys.stdout.write(''.join('# %s\n' % line for line in done.stderr.splitlines()[:50]))
    print('%sok 2 - %d readings are fastavro\'s' % ('not ' if found or both < count / 3 else '', both))
    for text in found[:5]:
        print('# ' + text)
    print('1..2')
    return 1 if found or done.returncode != 0 or both < count / 3 else 0


if __name__ == '__main__':
    sys.exit(main())
