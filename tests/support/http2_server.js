// A server that speaks HTTP/2 over TLS: node http2_server.js CERT KEY. Prints its port; answers each
// POST with 201 and, as body, the HTTP version and how many connections there were so far.
'use strict';
const fs = require('fs');
const http2 = require('http2');

let connections = 0;
const server = http2.createSecureServer(
    {cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3]), allowHTTP1: true},
    (request, response) => {
      request.resume();
      request.on('end', () => {
        const status = request.headers['classification'] ? 201 : 400;
        response.writeHead(status, {'content-type': 'text/plain'});
        response.end(`HTTP/${request.httpVersion} ${connections}`);
      });
    });
server.on('secureConnection', () => ++connections);
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
