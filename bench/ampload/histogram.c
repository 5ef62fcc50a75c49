// See histogram.h.
#include "histogram.h"

void histogram_merge(struct histogram *into, const struct histogram *from) {
  into->count += from->count;
  if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
  for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
    into->buckets[i] += from->buckets[i];
}

static uint64_t bucket_lower_bound_ns(int index) {
  if (index < 64) return (uint64_t)index;
  int exponent = index / 64 + 5;
  return ((uint64_t)64 + (uint64_t)(index & 63)) << (exponent - 6);
}

double histogram_percentile_us(const struct histogram *histogram, double percentile) {
  if (histogram->count == 0) return 0;
  uint64_t rank = (uint64_t)(percentile / 100 * (double)histogram->count + 0.5);
  if (rank < 1) rank = 1;
  uint64_t seen = 0;
  for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen >= rank) return (double)bucket_lower_bound_ns(i) / 1000.0;
  }
  return (double)histogram->max_ns / 1000.0;
}
