// One AMQP connection with channel 1 open on it: a non-blocking socket and two buffers. Used by one
// thread at a time: main() opens it, a worker drives it, main() closes it again.
#pragma once

#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define INPUT_BYTES (1 << 20)
#define IDLE_INPUT_BYTES 8192 // thousands of idle connections should not weigh on the machine

struct connection {
  int socket;
  uint32_t frame_bytes_max;
  uint8_t *in; // received and not yet parsed: in_start up to in_end
  size_t in_start, in_end, in_capacity;
  uint8_t *out; // composed and not yet sent: out_start up to out_end
  size_t out_start, out_end, out_capacity;
};

struct frame {
  uint8_t type;
  uint16_t channel;
  uint32_t length;
  const uint8_t *payload; // inside the connection's input: valid until the next receive
};

// Connects, authenticates and opens channel 1; dies when the broker refuses.
struct connection *connection_open(size_t input_bytes);

// Says goodbye, waits for the answer and frees everything.
void connection_close(struct connection *connection);

// Makes room for so many more octets of output.
void connection_reserve(struct connection *connection, size_t bytes);

// Sends what it can without waiting; true when nothing is left.
bool connection_flush(struct connection *connection);
void connection_flush_all(struct connection *connection);

// Receives what is there without waiting, and returns how much that was.
size_t connection_receive(struct connection *connection);

// A method is composed in the output: begin_method() returns where its arguments go (at most
// `argument_bytes`), end_method() takes where they ended.
uint8_t *begin_method(
    struct connection *connection, uint16_t channel, uint32_t method_id, size_t argument_bytes);
void end_method(struct connection *connection, uint8_t *end);

// Sends everything and waits for this method, ignoring all others but a close.
struct frame await_method(struct connection *connection, uint32_t method_id);

// Dies if this method frame closes the channel or the connection.
void check_close(const struct frame *frame);

static inline uint32_t frame_method_id(const struct frame *frame) {
  return METHOD_ID(get16(frame->payload), get16(frame->payload + 2));
}

_Noreturn void die_of_bad_frame(void);

// The next complete frame of the input. In the header, because it runs three times a message.
static inline bool next_frame(struct connection *connection, struct frame *frame) {
  size_t available = connection->in_end - connection->in_start;
  if (available < FRAME_OVERHEAD) return false;
  const uint8_t *at = connection->in + connection->in_start;
  uint32_t length = get32(at + 3);
  if (available < (size_t)length + FRAME_OVERHEAD) return false;
  frame->type = at[0];
  frame->channel = get16(at + 1);
  frame->length = length;
  frame->payload = at + 7;
  if (at[7 + length] != FRAME_END) die_of_bad_frame();
  connection->in_start += (size_t)length + FRAME_OVERHEAD;
  return true;
}
