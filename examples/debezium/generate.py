#!/usr/bin/env python3
"""Change events of two made-up tables, as Debezium writes them, or what becomes of them.

    generate.py TABLE COUNT [SEED]         print COUNT messages of customers or orders, each as key|value
    generate.py --expected COUNT [SEED]    print what result.sql finds after COUNT messages of each table

The events of customers come without schemas, those of orders with them, as the
JSON converter writes them by "schemas.enable".  A snapshot comes first, of which
a part is repeated, as it is when a connector starts again.  Large values that an
update leaves unchanged are Debezium's placeholder.  A delete is followed by a
tombstone, a changed key comes as a delete, a tombstone and a create, and now and
then orders is truncated.  The same seed gives the same messages, and fewer of
them are the first of more.
"""

import json
import sys
from base64 import b64encode
from datetime import datetime, timedelta
from hashlib import md5
from random import Random
from uuid import UUID

UNAVAILABLE = '__debezium_unavailable_value'
SNAPSHOT = 60
REPEATED = 20
EPOCH = datetime(2024, 2, 1)
WORDS = 'Zürich Łódź "quoted" C:\\path Ω naïve 東京 tab\there'.split(' ')

# the columns of orders as Connect's types, and what they mean
ORDERS = [('id', 'string', 'io.debezium.data.Uuid', None), ('customer', 'int64', None, None),
          ('total', 'bytes', 'org.apache.kafka.connect.data.Decimal', {'scale': '2', 'connect.decimal.precision': '24'}),
          ('rate', 'struct', 'io.debezium.data.VariableScaleDecimal', None),
          ('placed_on', 'int32', 'io.debezium.time.Date', None),
          ('placed_at', 'int64', 'io.debezium.time.MicroTimestamp', None),
          ('paid_at', 'string', 'io.debezium.time.ZonedTimestamp', None),
          ('pickup', 'int64', 'io.debezium.time.MicroTime', None),
          ('waited', 'int64', 'io.debezium.time.MicroDuration', None), ('signature', 'bytes', None, None),
          ('lines', 'string', 'io.debezium.data.Json', None)]


def base64(data):
    return b64encode(data).decode()


def unscaled(number):
    """The bytes of an integer as Java's BigInteger has them."""
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, 'big', signed=True)


def decimal(number, scale):
    """The text of number / 10^scale."""
    digits = f'{abs(number):0{scale + 1}}'
    return ('-' if number < 0 else '') + digits[:len(digits) - scale] + ('.' + digits[-scale:] if scale else '')


def micros(moment):
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def stamp(moment):
    return moment.isoformat(sep=' ', timespec='microseconds')


def text_or_null(value, text=str):
    return 'NULL' if value is None else text(value)


def large_text(rand):
    """Texts that PostgreSQL stores elsewhere, and others."""
    words = [rand.choice(WORDS) for _ in range(rand.randrange(400, 700) if rand.random() < 0.2 else 3)]
    return ' '.join(words)


class Customers:
    """Without schemas: numbers count days and microseconds, decimals are texts."""

    key_name = 'id'
    large = 'bio'
    truncates = 0

    @staticmethod
    def key(number, rand):
        return number

    @staticmethod
    def values(rand):
        return {'name': rand.choice(WORDS), 'bio': large_text(rand), 'active': rand.random() < 0.5,
                'born': rand.randrange(-10000, 10000),
                'since': EPOCH + timedelta(microseconds=rand.randrange(10**12)),
                'balance': (rand.randrange(-10**20, 10**20), 2) if rand.random() < 0.9 else None,
                'tags': rand.sample(WORDS, rand.randrange(3)), 'photo': rand.randbytes(rand.randrange(6))}

    @staticmethod
    def write(key, row):
        written = {'id': key}
        for name, value in row.items():
            if isinstance(value, datetime):
                value = micros(value)
            elif isinstance(value, tuple):
                value = decimal(*value)
            elif isinstance(value, bytes):
                value = base64(value)
            written[name] = value
        return written

    @staticmethod
    def expected(key, row, lsn):
        born = (datetime(1970, 1, 1) + timedelta(days=row['born'])).strftime('%Y-%m-%d')
        return '|'.join(('customers', str(key), row['name'], md5(row['bio'].encode()).hexdigest(),
                         str(row['active']).lower(), born, stamp(row['since']),
                         text_or_null(row['balance'], lambda value: decimal(*value)), ','.join(row['tags']),
                         row['photo'].hex(), str(lsn)))

    @staticmethod
    def wrap(value):
        return value

    @staticmethod
    def wrap_key(value):
        return value


class Orders:
    """With the schema in each message, which says what numbers and base64 are."""

    key_name = 'id'
    large = 'lines'
    truncates = 0.003
    types = [dict({'type': kind, 'optional': name != 'id', 'field': name},
                  **({'name': meaning, 'version': 1} if meaning else {}),
                  **({'parameters': parameters} if parameters else {}),
                  **({'fields': [{'type': 'int32', 'optional': False, 'field': 'scale'},
                                 {'type': 'bytes', 'optional': False, 'field': 'value'}]} if kind == 'struct' else {}))
             for name, kind, meaning, parameters in ORDERS]
    schema = {'type': 'struct', 'optional': False, 'name': 'shop.public.orders.Envelope', 'version': 2, 'fields': [
        {'type': 'struct', 'fields': types, 'optional': True, 'name': 'shop.public.orders.Value', 'field': 'before'},
        {'type': 'struct', 'fields': types, 'optional': True, 'name': 'shop.public.orders.Value', 'field': 'after'},
        {'type': 'struct', 'fields': [{'type': 'string', 'optional': False, 'field': 'connector'},
                                      {'type': 'int64', 'optional': True, 'field': 'lsn'}],
         'optional': False, 'name': 'io.debezium.connector.postgresql.Source', 'field': 'source'},
        {'type': 'string', 'optional': False, 'field': 'op'}, {'type': 'int64', 'optional': True, 'field': 'ts_ms'}]}
    key_schema = {'type': 'struct', 'fields': types[:1], 'optional': False, 'name': 'shop.public.orders.Key'}

    @staticmethod
    def key(number, rand):
        return str(UUID(int=rand.getrandbits(128)))

    @staticmethod
    def values(rand):
        placed = EPOCH + timedelta(microseconds=rand.randrange(10**12))
        # three bytes whose base64 is all digits look like a number
        total = int.from_bytes(b'\xd7\x6d\xf8', 'big', signed=True) if rand.random() < 0.1 else \
            rand.randrange(-10**rand.randrange(1, 22), 10**22)
        lines = [{'n': rand.randrange(9), 'sku': rand.choice('ABC') * rand.randrange(1, 4)}
                 for _ in range(rand.randrange(100, 200) if rand.random() < 0.2 else 2)]
        return {'customer': rand.randrange(10**6), 'total': (total, 2),
                'rate': (rand.randrange(-10**9, 10**9), rand.randrange(12)) if rand.random() < 0.9 else None,
                'placed_on': placed.date(), 'placed_at': placed,
                'paid_at': placed + timedelta(hours=1) if rand.random() < 0.8 else None,
                'pickup': rand.randrange(86_400_000_000), 'waited': rand.randrange(-10**9, 10**12),
                'signature': rand.randbytes(rand.randrange(6)), 'lines': lines}

    @staticmethod
    def write(key, row):
        rate = row['rate']
        return {'id': key, 'customer': row['customer'], 'total': base64(unscaled(row['total'][0])),
                'rate': None if rate is None else {'scale': rate[1], 'value': base64(unscaled(rate[0]))},
                'placed_on': (row['placed_on'] - datetime(1970, 1, 1).date()).days, 'placed_at': micros(row['placed_at']),
                'paid_at': row['paid_at'].isoformat() + 'Z' if row['paid_at'] else None,
                'pickup': row['pickup'], 'waited': row['waited'], 'signature': base64(row['signature']),
                'lines': json.dumps(row['lines'])}

    @staticmethod
    def expected(key, row, lsn):
        pickup = (datetime(1970, 1, 1) + timedelta(microseconds=row['pickup'])).time().isoformat('microseconds')
        return '|'.join(('orders', key, str(row['customer']), decimal(*row['total']),
                         text_or_null(row['rate'], lambda value: decimal(*value)), str(row['placed_on']),
                         stamp(row['placed_at']), text_or_null(row['paid_at'], stamp), pickup, str(row['waited']),
                         row['signature'].hex(), md5(json.dumps(row['lines']).encode()).hexdigest(), str(lsn)))

    @classmethod
    def wrap(cls, value):
        return {'schema': cls.schema, 'payload': value}

    @classmethod
    def wrap_key(cls, value):
        return {'schema': cls.key_schema, 'payload': value}


TABLES = {'customers': Customers, 'orders': Orders}


class Source:
    """A table and the messages that its changes are."""

    def __init__(self, table, seed):
        self.table = table
        self.rand = Random(f'{table.__name__} {seed}')
        self.rows = {}           # by key: the row
        self.copied = {}         # by key: the row as the copy has it, and its lsn
        self.keys = []
        self.last_key = 0
        self.lsn = 24_023_000

    def event(self, operation, before, after, snapshot='false'):
        self.lsn += 56
        return self.table.wrap({
            'before': before, 'after': after,
            'source': {'version': '2.7.0.Final', 'connector': 'postgresql', 'name': 'shop', 'ts_ms': 1707395411000,
                       'snapshot': snapshot, 'db': 'shop', 'sequence': f'[null,"{self.lsn}"]', 'schema': 'public',
                       'table': self.table.__name__.lower(), 'txId': self.lsn // 100, 'lsn': self.lsn, 'xmin': None},
            'transaction': None, 'op': operation, 'ts_ms': 1707395411123})

    def message(self, key, value):
        named = self.table.wrap_key({self.table.key_name: key})
        return json.dumps(named) + '|' + ('' if value is None else json.dumps(value))

    def write(self, operation, key, row, snapshot='false'):
        written = self.table.write(key, row)
        large = self.table.large
        if operation == 'u' and self.rows[key][large] == row[large] and len(written[large]) > 2000:
            written[large] = UNAVAILABLE
        value = self.event(operation, None, written, snapshot)
        self.rows[key] = row
        return self.message(key, value), lambda: self.copied.update({key: (row, value_lsn(value))})

    def delete(self, key):
        """The old row has its key alone, by the default replica identity."""
        old = dict.fromkeys(self.table.write(key, self.rows[key]))
        old[self.table.key_name] = key
        del self.rows[key]
        self.keys.remove(key)
        yield self.message(key, self.event('d', old, None)), lambda: self.copied.pop(key)
        yield self.message(key, None), lambda: None

    def new_key(self):
        self.last_key += 1
        key = self.table.key(self.last_key, self.rand)
        self.keys.append(key)
        return key

    def snapshot(self):
        for number in range(SNAPSHOT):
            mark = 'first' if number == 0 else 'last' if number == SNAPSHOT - 1 else 'true'
            key = self.new_key()
            yield self.write('r', key, self.table.values(self.rand), mark)
        for key in self.keys[:REPEATED]:
            yield self.write('r', key, self.rows[key], 'true')

    def change(self):
        rand = self.rand
        choice = rand.random()
        if choice < self.table.truncates:
            # the copy keeps its rows, and the source gets new ones
            self.rows.clear()
            self.keys.clear()
            yield '|' + json.dumps(self.event('t', None, None)), lambda: None
        elif choice < 0.4 or not self.keys:
            yield self.write('c', self.new_key(), self.table.values(rand))
        elif choice < 0.8:
            key = rand.choice(self.keys)
            row = self.table.values(rand)
            if rand.random() < 0.7:
                row[self.table.large] = self.rows[key][self.table.large]
            yield self.write('u', key, row)
        else:
            key = rand.choice(self.keys)
            row = self.rows[key]
            yield from self.delete(key)
            if choice > 0.95:
                yield self.write('c', self.new_key(), row)

    def messages(self):
        """Yields (message, function), which changes the copy as the message does."""
        yield from self.snapshot()
        while True:
            yield from self.change()


def value_lsn(value):
    return value.get('payload', value)['source']['lsn']


def run(table, count, seed):
    """The messages, and what a copy holds after them."""
    source = Source(TABLES[table], seed)
    lines = []
    for line, apply in source.messages():
        if len(lines) == count:
            break
        lines.append(line)
        apply()
    return lines, source.copied


def main(args):
    expects = '--expected' in args
    tables = [arg for arg in args if arg in TABLES]
    numbers = [int(arg) for arg in args if arg not in ['--expected'] + tables]
    if not 1 <= len(numbers) <= 2 or len(tables) != (not expects):
        sys.exit(__doc__)
    count, seed = (numbers + [1])[:2]
    if not expects:
        print('\n'.join(run(tables[0], count, seed)[0]))
        return
    for name, table in TABLES.items():
        copied = run(name, count, seed)[1]
        for key in sorted(copied):
            print(table.expected(key, *copied[key]))


if __name__ == '__main__':
    main(sys.argv[1:])
