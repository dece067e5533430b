// Crashes below functions that exist as generated code only.
const secret = 'CANARY-ON-HEAP' + process.env.SECRET;
function inner(n) {
  if (n === 5_000_000) process.abort();
  return n + secret.length;
}
function outer(n) {
  return inner(n) + 1;
}
let sum = 0;
for (let n = 0; ; n++) sum += outer(n);
