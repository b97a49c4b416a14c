"""The consumer that most teams begin with: kafka-python, psycopg2, one commit per message.

    row_by_row.py BOOTSTRAP TOPIC DSN COUNT

Prints the seconds from the first commit to the last.  The offset is committed in Kafka from time to time, as such
programs do; so it is at least once.
"""

import json
import sys
import time

import psycopg2
from kafka import KafkaConsumer

from sessions import COLUMNS, TABLE


def main(bootstrap, topic, dsn, count):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="row_by_row", auto_offset_reset="earliest",
        value_deserializer=json.loads)
    connection = psycopg2.connect(dsn)
    cursor = connection.cursor()
    names = ", ".join(COLUMNS)
    values = ", ".join(f"%({name})s" for name in COLUMNS)
    statement = f"INSERT INTO {TABLE} ({names}) VALUES ({values})"
    began = None
    for n, message in enumerate(consumer, 1):
        cursor.execute(statement, message.value)
        connection.commit()
        if began is None:
            began = time.monotonic()
        if n == count:
            break
    print(time.monotonic() - began)


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
