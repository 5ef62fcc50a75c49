// All counters at one moment, and the result of a run as one line of JSON from two of them.
#pragma once

#include "worker.h"

struct workers {
  struct worker *publishers, *consumers;
};

struct sample {
  uint64_t at_ns;
  uint64_t published, confirmed, consumed;
  double broker_cpu_s, own_cpu_s, machine_cpu_s, stolen_s;
};

struct memory {
  double start_mib, end_mib, max_mib;
};

struct sample take_sample(const struct workers *workers);

uint64_t total_published(const struct workers *workers);
uint64_t total_confirmed(const struct workers *workers);
uint64_t total_consumed(const struct workers *workers);

// How many deliveries the messages published so far must cause.
uint64_t expected_deliveries(const struct workers *workers);

// Prints the result. Called when all workers have ended.
void print_result(const struct workers *workers, const struct sample *from, const struct sample *to,
    const struct memory *memory);
