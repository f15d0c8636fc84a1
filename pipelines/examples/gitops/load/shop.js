import http from 'k6/http';
import { check } from 'k6';

export const options = {
  vus: 5,
  iterations: 50,
  thresholds: {
    http_req_failed: ['rate<0.01'],
    http_req_duration: ['p(95)<2000'],
  },
};

export default function () {
  check(http.get(`${__ENV.URL}/health`), { 'it is well': (answer) => answer.status === 200 });
}
