"""Spark Structured Streaming into PostgreSQL: foreachBatch with the JDBC sink.

    spark.py BOOTSTRAP TOPIC JDBC_URL CHECKPOINTS JARS

Runs until it is killed; the caller watches the table.  Both cores (local[2]), two tasks, batches of 100,000 messages,
10,000 rows an insert, which the driver rewrites to multi-row INSERTs (reWriteBatchedInserts).
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, from_json
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from sessions import COLUMNS, TABLE

TYPES = {
    "personal_number": LongType(), "session_duration": IntegerType(), "download_speed": IntegerType(),
    "upload_speed": IntegerType(), "consumed_traffic": IntegerType(),
}
SCHEMA = StructType([StructField(name, TYPES.get(name, StringType())) for name in COLUMNS])


def main(bootstrap, topic, url, checkpoints, jars):
    spark = (
        SparkSession.builder.master("local[2]").appName("peer")
        .config("spark.jars", jars)
        .config("spark.ui.enabled", "false").config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.streaming.metricsEnabled", "false").getOrCreate())
    spark.sparkContext.setLogLevel("ERROR")
    messages = (
        spark.readStream.format("kafka").option("kafka.bootstrap.servers", bootstrap).option("subscribe", topic)
        .option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", 100000).option("minPartitions", 2)
        .load())
    rows = messages.select(from_json(col("value").cast("string"), SCHEMA).alias("m")).select("m.*")

    def write(batch, _id):
        (batch.write.format("jdbc").option("url", url).option("dbtable", TABLE).option("driver", "org.postgresql.Driver")
         .option("batchsize", 10000).option("isolationLevel", "READ_COMMITTED").mode("append").save())

    rows.writeStream.foreachBatch(write).option("checkpointLocation", checkpoints).start().awaitTermination()


main(*sys.argv[1:6])
