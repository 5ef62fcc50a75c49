// A worker is a thread with a connection of its own: a publisher (publisher.c) or a consumer
// (consumer.c). It counts into itself; main() reads the counters while it runs, the rest after it
// has ended.
//
// A message body of 16 octets or more begins with these, in the machine's own byte order, because
// the reader is the same process:
//
//   ┌──────────────────┬──────────────┬─────────────────┐
//   │ time, ns         │ publisher id │ sequence number │  then filled with "x"
//   │ u64              │ u32          │ u32             │
//   └──────────────────┴──────────────┴─────────────────┘
#pragma once

#include "connection.h"
#include "histogram.h"
#include "topology.h"

#include <pthread.h>
#include <stdatomic.h>

#define STAMP_BYTES 16

// Aligned so that two workers never share a cache line, nor the pair that processors fetch at once.
struct worker {
  _Alignas(128) _Atomic uint64_t messages; // published or consumed
  _Atomic uint64_t confirmed, nacked, returned;
  _Atomic bool finished;
  uint64_t redelivered, disordered;
  struct histogram latencies; // publish to confirm, or publish to delivery
  int id;
  name_buffer queue;
  struct connection *connection;
  pthread_t thread;
};

// What main() tells all workers.
struct run {
  _Atomic int ready;      // workers that have said so
  _Atomic bool go;        // publishers wait for this
  _Atomic bool measuring; // latencies are recorded only now
  _Atomic bool publishing_ends, consuming_ends;
};

extern struct run run;

static inline bool is_set(const _Atomic bool *flag) {
  return atomic_load_explicit(flag, memory_order_relaxed);
}

// Thread functions; the argument is the worker.
void *publisher_main(void *worker);
void *consumer_main(void *worker);

// Puts the publisher's channel into confirm mode. Called before its thread starts.
void publisher_select_confirms(struct worker *worker);
