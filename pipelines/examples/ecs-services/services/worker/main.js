'use strict';

// Takes the oldest order that is due; null when there is none.
function next(orders, now) {
  const due = orders.filter((order) => order.at <= now).sort((one, other) => one.at - other.at);
  return due[0] ?? null;
}

if (require.main === module) {
  const orders = [];
  const timer = setInterval(() => {
    const order = next(orders, Date.now());
    if (order) console.log('sent', orders.splice(orders.indexOf(order), 1));
  }, 1000);
  process.on('SIGTERM', () => clearInterval(timer));
}

module.exports = { next };
