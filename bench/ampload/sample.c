// See sample.h.
#include "sample.h"

#include "clock.h"
#include "failure.h"
#include "options.h"
#include "processor-time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t total_published(const struct workers *workers) {
  uint64_t total = 0;
  for (int i = 0; i < options.publishers; i++)
    total += atomic_load(&workers->publishers[i].messages);
  return total;
}

uint64_t total_confirmed(const struct workers *workers) {
  uint64_t total = 0;
  for (int i = 0; i < options.publishers; i++)
    total += atomic_load(&workers->publishers[i].confirmed);
  return total;
}

uint64_t total_consumed(const struct workers *workers) {
  uint64_t total = 0;
  for (int i = 0; i < options.consumers; i++)
    total += atomic_load(&workers->consumers[i].messages);
  return total;
}

uint64_t expected_deliveries(const struct workers *workers) {
  return total_published(workers) * (exchange_is("fanout") ? (uint64_t)options.queues : 1);
}

struct sample take_sample(const struct workers *workers) {
  struct sample sample = {
      .at_ns = now_ns(),
      .published = total_published(workers),
      .confirmed = total_confirmed(workers),
      .consumed = total_consumed(workers),
      .broker_cpu_s = broker_cpu_seconds(),
      .own_cpu_s = own_cpu_seconds(),
  };
  sample.machine_cpu_s = machine_cpu_seconds(&sample.stolen_s);
  return sample;
}

static double per_message_us(double seconds, uint64_t messages) {
  return messages > 0 ? seconds * 1e6 / (double)messages : 0;
}

static void print_latencies(const char *name, const struct worker *workers, int count) {
  struct histogram *all = allocate_zeroed(1, sizeof *all);
  for (int i = 0; i < count; i++)
    histogram_merge(all, &workers[i].latencies);
  printf(",\"%s_p50_us\":%.0f", name, histogram_percentile_us(all, 50));
  printf(",\"%s_p99_us\":%.0f", name, histogram_percentile_us(all, 99));
  printf(",\"%s_p999_us\":%.0f", name, histogram_percentile_us(all, 99.9));
  free(all);
}

static void print_processor_time(const struct sample *from, const struct sample *to) {
  double seconds = (double)(to->at_ns - from->at_ns) / 1e9;
  uint64_t published = to->published - from->published, consumed = to->consumed - from->consumed;
  double broker_s = to->broker_cpu_s - from->broker_cpu_s;
  double own_s = to->own_cpu_s - from->own_cpu_s;
  double other_s = to->machine_cpu_s - from->machine_cpu_s - broker_s - own_s;
  if (other_s < 0) other_s = 0; // the counters tick at different moments
  printf(",\"broker_cpu_pct\":%.0f,\"gen_cpu_pct\":%.0f", broker_s / seconds * 100,
      own_s / seconds * 100);
  printf(",\"other_cpu_pct\":%.0f,\"steal_pct\":%.0f", other_s / seconds * 100,
      (to->stolen_s - from->stolen_s) / seconds * 100);
  printf(",\"cpu_us_per_pub\":%.2f,\"cpu_us_per_con\":%.2f", per_message_us(broker_s, published),
      per_message_us(broker_s, consumed));
  printf(",\"gen_us_per_msg\":%.2f", per_message_us(own_s, published + consumed));
}

static void print_totals(const struct workers *workers) {
  uint64_t nacked = 0, returned = 0, disordered = 0, redelivered = 0;
  for (int i = 0; i < options.publishers; i++) {
    nacked += atomic_load(&workers->publishers[i].nacked);
    returned += atomic_load(&workers->publishers[i].returned);
  }
  for (int i = 0; i < options.consumers; i++) {
    disordered += workers->consumers[i].disordered;
    redelivered += workers->consumers[i].redelivered;
  }
  printf(",\"published\":%" PRIu64 ",\"consumed\":%" PRIu64 ",\"expected\":%" PRIu64,
      total_published(workers), total_consumed(workers), expected_deliveries(workers));
  printf(",\"nacked\":%" PRIu64 ",\"returned\":%" PRIu64, nacked, returned);
  printf(",\"disorder\":%" PRIu64 ",\"redelivered\":%" PRIu64, disordered, redelivered);
}

void print_result(const struct workers *workers, const struct sample *from, const struct sample *to,
    const struct memory *memory) {
  double seconds = (double)(to->at_ns - from->at_ns) / 1e9;
  printf("{\"label\":\"%s\",\"secs\":%.3f", options.label, seconds);
  printf(",\"pub_s\":%.0f", (double)(to->published - from->published) / seconds);
  printf(",\"conf_s\":%.0f", (double)(to->confirmed - from->confirmed) / seconds);
  printf(",\"con_s\":%.0f", (double)(to->consumed - from->consumed) / seconds);
  print_latencies("conf", workers->publishers, options.publishers);
  print_latencies("e2e", workers->consumers, options.consumers);
  print_processor_time(from, to);
  printf(",\"rss_start_mb\":%.1f,\"rss_end_mb\":%.1f,\"rss_max_mb\":%.1f", memory->start_mib,
      memory->end_mib, memory->max_mib);
  print_totals(workers);
  printf("}\n");
  fflush(stdout);
}
