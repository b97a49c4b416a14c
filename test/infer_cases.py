"""Random schemas with messages, for infer_table.

    infer_cases.py FORMAT SCHEMAS SEED

Schemas and messages are those of avro_cases.py or proto_cases.py, but that all are as
they should be, and all values such as the server's types can hold: decimals have no
more digits than the schema says, durations no more months or days than an interval,
and dates a day.  Names of fields are odd ones, too, in Avro.  Half of its schemas stand
in the option "schema"; the others are named by their ids, and messages of an earlier
version of the schema, which lacks fields or has others, are among their messages, not
as the last one.

Prints a line of JSON for each schema: its options, and the messages in hexadecimal.
"""

import json
import random
import struct
import sys
from unittest import mock

sys.dont_write_bytecode = True

# avro_cases compares with it; to make messages it is not needed
sys.modules['fastavro'] = sys.modules['fastavro.read'] = mock.MagicMock()

import avro_cases  # noqa: E402

NAMES = ['select', 'Mixed Case', 'createdAt', 'created_at', 'quo"te', "it's", 'ctid', 'x' * 63, 'y' * 64, 'übel', '$value', 'a.b', '-- no', 'new\nline']


class Messages(avro_cases.Messages):
    """Makes messages that a table can take."""

    def decimal(self, schema, size=None):
        """Bytes of a number, as many as there are to be."""
        rnd = self.rnd
        most = 10 ** schema['precision'] - 1
        if size is not None:
            most = min(most, 2 ** (8 * size - 1) - 1)
        number = rnd.choice([rnd.randint(-most, most), rnd.randint(-min(most, 9), min(most, 9)), most, -most])
        return number.to_bytes(size if size is not None else number.bit_length() // 8 + 1 + rnd.randrange(2), 'big', signed=True)

    def make(self, schema, depth):
        if isinstance(schema, dict) and schema.get('logicalType') == 'decimal':
            if schema['type'] == 'fixed':
                return self.decimal(schema, schema['size'])
            number = self.decimal(schema)
            return avro_cases.varint(len(number)) + number
        if isinstance(schema, dict) and schema.get('logicalType') == 'duration':
            return struct.pack('<III', self.rnd.getrandbits(20), self.rnd.getrandbits(20), self.rnd.getrandbits(32))
        return super().make(schema, depth)


def is_defined(schema, named):
    """Are all the names there that it uses?  A union may have lost a branch."""
    if isinstance(schema, str):
        return schema in avro_cases.PRIMITIVES or schema in named
    if isinstance(schema, list):
        return all(is_defined(branch, named) for branch in schema)
    return all(is_defined(schema[part], named) for part in ('items', 'values') if part in schema) and \
        all(is_defined(field['type'], named) for field in schema.get('fields', []))


def rename(rnd, schema):
    """Give some fields of a record odd names."""
    for field, name in zip(schema['fields'], rnd.sample(NAMES, len(NAMES))):
        if rnd.random() < 0.3:
            field['name'] = name


def older(rnd, schema):
    """
    The schema as it was: without fields, with others, and with other types for some.  One
    field is in both, since a message of which no column takes anything is bad.
    """
    schema['fields'].insert(rnd.randrange(len(schema['fields']) + 1), {'name': 'both', 'type': 'int'})
    old = json.loads(json.dumps(schema))
    fields = []
    for field in old['fields']:
        if isinstance(field['type'], str) and field['type'] in avro_cases.PRIMITIVES:
            if rnd.random() < 0.3 and field['name'] != 'both':
                continue
            if rnd.random() < 0.3:
                field['type'] = rnd.choice(avro_cases.PRIMITIVES)
        fields.append(field)
    old['fields'] = fields + [{'name': 'gone', 'type': 'int'}]
    return old


def frame(number, message):
    return (b'\0' + struct.pack('>I', number) + message).hex()


def make_avro(rnd):
    made = avro_cases.Schemas(rnd)
    record = rnd.random() < 0.9
    schema = made.record(rnd.randrange(1, 5)) if record else made.type(rnd.randrange(1, 4))
    if not is_defined(schema, avro_cases.collect(schema, {})):
        raise AssertionError('a name is not defined')
    record = isinstance(schema, dict) and schema['type'] == 'record' and len(schema['fields']) > 0
    if record:
        rename(rnd, schema)

    def messages(schema):
        maker = Messages(rnd, avro_cases.collect(schema, {}))
        return [maker.make(schema, rnd.randrange(8)) for _ in range(avro_cases.MESSAGES_OF_A_SCHEMA)]

    if not record or rnd.random() < 0.5:
        return {'options': {'schema': schema if isinstance(schema, dict) else json.dumps(schema)}, 'messages': [m.hex() for m in messages(schema)]}
    old = older(rnd, schema)
    framed = [frame(2, m) for m in messages(schema)] + [frame(1, m) for m in messages(old)]
    rnd.shuffle(framed)
    framed.append(frame(2, messages(schema)[0]))
    return {'options': {'schemas': {'1': old, '2': schema}}, 'messages': framed}


def make_all_avro(rnd, n):
    cases = []
    while len(cases) < n:
        try:
            cases.append(make_avro(rnd))
        except AssertionError:      # it is no valid schema
            pass
    return cases


def make_all_protobuf(rnd, n):
    # needs Google's library
    import proto_cases

    class ProtoMessages(proto_cases.Messages):
        def known(self, name):
            bounds = {'google.type.Date': ((1, 10000), (1, 13), (1, 29)),
                      'google.type.TimeOfDay': ((0, 24), (0, 60), (0, 60), (0, 10 ** 9))}.get(name)
            if bounds is None:
                return super().known(name)
            return b''.join(bytes([8 * i]) + proto_cases.varint(rnd.randrange(*bound)) for i, bound in enumerate(bounds, 1))

    schemas = [proto_cases.Schema(rnd, i) for i in range(n)]
    pool = proto_cases.descriptor_pool.DescriptorPool()
    for file in proto_cases.compile_schemas(schemas).file:
        pool.Add(file)
    cases = []
    for schema in schemas:
        name = schema.package + '.' + schema.main
        made = [ProtoMessages(rnd).make(pool.FindMessageTypeByName(name), rnd.randrange(1, 6)) for _ in range(proto_cases.MESSAGES_OF_A_SCHEMA)]
        cases.append({'options': {'schema': schema.text, 'message': name}, 'messages': [m.hex() for m in made]})
    return cases


def main():
    rnd = random.Random(int(sys.argv[3]))
    make = {'avro': make_all_avro, 'protobuf': make_all_protobuf}[sys.argv[1]]
    for case in make(rnd, int(sys.argv[2])):
        print(json.dumps(case))


if __name__ == '__main__':
    main()
