// The queues, the exchange and the bindings of a run, made before it and removed after it over a
// connection of their own. Names are "PREFIX-0", "PREFIX-1", ... and "PREFIX-x" for the exchange.
#pragma once

#include "connection.h"
#include "options.h"

typedef char name_buffer[NAME_BYTES_MAX];

void queue_name(name_buffer name, int index);
void exchange_name(name_buffer name); // "" for the default exchange

// Routing keys that a topic run publishes with in turn: all match the last binding, "a.*.c".
#define TOPIC_KEYS 1000
void topic_routing_key(name_buffer key, int index);

void topology_declare(struct connection *control);
void topology_delete(struct connection *control);

// How many messages all queues hold together.
uint64_t topology_depth(struct connection *control);
