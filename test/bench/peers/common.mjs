// What all the peers share: the connections, and the effect of a step.

import pg from 'pg';
import { EventEmitter } from 'node:events';

// So many steps at a time, with a connection each: in the part about speed
// as many as graphile-worker's page on performance takes, in the part about
// recovery as many as there are executors on our side.
export const CONCURRENCY = Number(process.env.FT_BENCH_CONCURRENCY ?? 24);
export const CHAIN = 5;

const pools = [];

// Connections go by the environment: PGHOST, PGPORT, PGUSER, PGDATABASE.  One
// that is lost is replaced when the next is asked for.
export function makePool(max = CONCURRENCY) {
  const pool = new pg.Pool({ max });

  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  pools.push(pool);
  return pool;
}

export async function closePools() {
  await Promise.all(pools.map((pool) => pool.end()));
}

// The effect of a step: one row.  A slow step takes 0.3 s, in the
// server, and notes its session and when it began.
const EFFECT = { name: 'effect', text: 'INSERT INTO effect (execution, step) VALUES ($1, $2)' };
const SLOW = {
  name: 'slow',
  text: 'INSERT INTO effect (execution, step, session, began) SELECT $1, 1, pg_backend_pid(), now() FROM pg_sleep(0.3)',
};

export function effect(client, execution, step = 1) {
  return client.query({ ...EFFECT, values: [execution, step] });
}

export function slowEffect(client, execution) {
  return client.query({ ...SLOW, values: [execution] });
}

export const effectText = EFFECT.text;

// Numbers of executions, in parts of so many.
export function* portions(count, size) {
  for (let first = 1; first <= count; first += size) {
    yield Array.from({ length: Math.min(size, count - first + 1) }, (_, i) => first + i);
  }
}

// Peers say here that the last step of a chain has been committed.
export const chainEnds = new EventEmitter();

// Start chains one after another, each when the one before has ended and the
// peer has had a moment to finish what it does after that.
export async function runChains(count, start) {
  for (let execution = 1; execution <= count; execution += 1) {
    const ended = new Promise((resolve) => chainEnds.once(String(execution), resolve));

    await start(execution);
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
