// Reads an OTLP/JSON request from standard input and prints it as the OpenTelemetry project's own
// protobuf schema understands it: node otlp_schema.js FOLDER, with @opentelemetry/otlp-transformer in
// FOLDER/node_modules. What the schema does not know is missing in the output.
'use strict';
const path = require('path');
const root = require(path.join(
    process.argv[2], 'node_modules/@opentelemetry/otlp-transformer/build/src/generated/root.js'));
const Request = root.opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest;

const request = Request.fromObject(JSON.parse(require('fs').readFileSync(0)));
const mistake = Request.verify(request);
if (mistake) throw new Error(mistake);
// Over the wire and back, so that every value has the type of its field.
const again = Request.decode(Request.encode(request).finish());
console.log(JSON.stringify(Request.toObject(again, {longs: String, bytes: String, enums: Number})));
