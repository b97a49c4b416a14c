/*-------------------------------------------------------------------------
 *
 * proto_builtin.c
 *	  The types that schemas import without bringing them along.
 *
 * The fields of the files in Google's and Confluent's repositories, without their
 * comments and options.  A text's first message tells whether a schema has it
 * itself.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "format/proto_build.h"

#define PACKAGE(name)			"syntax=\"proto3\";package " name ";"
#define WRAPPER(name, type)		PACKAGE("google.protobuf") "message " name "{" type " value=1;}"

const char *const si_proto_builtin[] = {
	PACKAGE("google.protobuf") "message Timestamp{int64 seconds=1;int32 nanos=2;}",
	PACKAGE("google.protobuf") "message Duration{int64 seconds=1;int32 nanos=2;}",
	PACKAGE("google.protobuf") "message Any{string type_url=1;bytes value=2;}",
	PACKAGE("google.protobuf") "message Empty{}",
	PACKAGE("google.protobuf") "message FieldMask{repeated string paths=1;}",
	PACKAGE("google.protobuf") "message Struct{map<string,Value> fields=1;}"
	"message Value{oneof kind{NullValue null_value=1;double number_value=2;string string_value=3;"
	"bool bool_value=4;Struct struct_value=5;ListValue list_value=6;}}"
	"message ListValue{repeated Value values=1;}enum NullValue{NULL_VALUE=0;}",
	WRAPPER("DoubleValue", "double"),
	WRAPPER("FloatValue", "float"),
	WRAPPER("Int64Value", "int64"),
	WRAPPER("UInt64Value", "uint64"),
	WRAPPER("Int32Value", "int32"),
	WRAPPER("UInt32Value", "uint32"),
	WRAPPER("BoolValue", "bool"),
	WRAPPER("StringValue", "string"),
	WRAPPER("BytesValue", "bytes"),
	PACKAGE("google.type") "message Date{int32 year=1;int32 month=2;int32 day=3;}",
	PACKAGE("google.type") "message TimeOfDay{int32 hours=1;int32 minutes=2;int32 seconds=3;int32 nanos=4;}",
	PACKAGE("google.type") "message DateTime{int32 year=1;int32 month=2;int32 day=3;int32 hours=4;int32 minutes=5;"
	"int32 seconds=6;int32 nanos=7;oneof time_offset{google.protobuf.Duration utc_offset=8;TimeZone time_zone=9;}}"
	"message TimeZone{string id=1;string version=2;}",
	PACKAGE("google.type") "message LatLng{double latitude=1;double longitude=2;}",
	PACKAGE("google.type") "message Money{string currency_code=1;int64 units=2;int32 nanos=3;}",
	PACKAGE("google.type") "message Decimal{string value=1;}",
	PACKAGE("google.type") "message Interval{google.protobuf.Timestamp start_time=1;google.protobuf.Timestamp end_time=2;}",
	PACKAGE("google.type") "message Color{float red=1;float green=2;float blue=3;google.protobuf.FloatValue alpha=4;}",
	PACKAGE("google.type") "message Fraction{int64 numerator=1;int64 denominator=2;}",
	PACKAGE("google.type") "message LocalizedText{string text=1;string language_code=2;}",
	PACKAGE("google.type") "message PostalAddress{int32 revision=1;string region_code=2;string language_code=3;"
	"string postal_code=4;string sorting_code=5;string administrative_area=6;string locality=7;string sublocality=8;"
	"repeated string address_lines=9;repeated string recipients=10;string organization=11;}",
	PACKAGE("confluent.type") "message Decimal{bytes value=1;uint32 precision=2;int32 scale=3;}",
	NULL
};
