'use strict';

// What a basket costs, in cents: { price, count } for each thing in it.
function total(things) {
  return things.reduce((sum, { price, count }) => sum + price * count, 0);
}

module.exports = { total };
