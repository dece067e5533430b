// A server that speaks HTTP/2 over TLS: node http2_server.js CERT KEY [TROUBLES]. Prints its port; answers
// each POST with 201 and, as body, the HTTP version and how many connections there were so far. Of the
// first TROUBLES in turn one is refused, one is taken and then broken off, and one gets 503. With TROUBLES
// it prints "stored PAYLOAD" for what it took, or "lost PAYLOAD" where it did not say so.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const {NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM} = http2.constants;
const isTroubled = process.argv.length > 4;
let troubles = isTroubled ? Number(process.argv[4]) : 0;
let connections = 0;

// Whether there was one.
function makeTrouble(response, payload) {
  if (troubles === 0) return false;
  switch (troubles-- % 3) {
    case 0:
      response.stream.close(NGHTTP2_REFUSED_STREAM);
      break;
    case 1:
      console.log(`lost ${payload}`);
      response.stream.close(NGHTTP2_INTERNAL_ERROR);
      break;
    default:
      response.writeHead(503);
      response.end();
  }
  return true;
}

const server = http2.createSecureServer(
    {cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3]), allowHTTP1: true},
    (request, response) => {
      let payload = '';
      request.on('data', (piece) => payload += piece);
      request.on('end', () => {
        if (makeTrouble(response, payload)) return;
        if (isTroubled) console.log(`stored ${payload}`);
        const status = request.headers['classification'] ? 201 : 400;
        response.writeHead(status, {'content-type': 'text/plain'});
        response.end(`HTTP/${request.httpVersion} ${connections}`);
      });
    });
server.on('secureConnection', () => ++connections);
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
