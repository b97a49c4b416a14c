"""The consumer that an expert writes: confluent-kafka, orjson, COPY FROM STDIN, the offset in the same transaction.

    copy_loop.py BOOTSTRAP TOPIC DSN COUNT

Prints the seconds from the first commit to the last.  As fast as we could make it in Python: messages in batches of
10,000, orjson, one string for each batch (psycopg's write_row() is slower), rows that need no escape are joined as they
are, synchronous_commit off as the worker has it.
"""

import sys
import time

import orjson
import psycopg
from confluent_kafka import Consumer, TopicPartition

from sessions import COLUMNS, TABLE

BATCH = 10000
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def rows(messages):
    loads = orjson.loads
    lines = []
    for message in messages:
        value = loads(message.value())
        lines.append("\x00".join([str(value[name]) for name in COLUMNS]))
    # escaped once for the batch; the separators are put in afterwards
    return "\x01".join(lines).translate(ESCAPES).replace("\x00", "\t").replace("\x01", "\n") + "\n"


def main(bootstrap, topic, dsn, count):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "copy_loop", "enable.auto.commit": False,
        "queued.min.messages": 100000, "fetch.min.bytes": 100000, "fetch.message.max.bytes": 16 * 1024 * 1024})
    consumer.assign([TopicPartition(topic, 0, 0)])
    copy_in = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN"
    began = None
    done = 0
    with psycopg.connect(dsn, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off; CREATE TABLE IF NOT EXISTS loop_offset AS SELECT 0::bigint AS o")
        connection.commit()
        while done < count:
            messages = consumer.consume(BATCH, timeout=1)
            if not messages:
                continue
            with cursor.copy(copy_in) as copy:
                copy.write(rows(messages))
            cursor.execute("UPDATE loop_offset SET o = %s", (messages[-1].offset() + 1,))
            connection.commit()
            if began is None:
                began = time.monotonic()
            done += len(messages)
    print(time.monotonic() - began)


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
