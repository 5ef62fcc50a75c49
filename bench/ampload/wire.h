// Big-endian numbers and short strings, as AMQP 0-9-1 writes them. A put returns the position after
// what it wrote, so that a method reads as a row of puts.
//
//   frame   ┌──────┬─────────┬──────────┬───────────────┬──────┐
//           │ type │ channel │ length   │ payload       │ 0xCE │
//           │ u8   │ u16     │ u32      │ length octets │      │
//           └──────┴─────────┴──────────┴───────────────┴──────┘
//   method payload   class u16, method u16, arguments
//   header payload   class u16, weight u16, body size u64, property flags u16, properties
#pragma once

#include <stdint.h>
#include <string.h>

#define FRAME_METHOD 1
#define FRAME_HEADER 2
#define FRAME_BODY 3
#define FRAME_END 0xCE
#define FRAME_OVERHEAD 8 // 7 octets before the payload, 1 after it

#define CLASS_CONNECTION 10
#define CLASS_CHANNEL 20
#define CLASS_EXCHANGE 40
#define CLASS_QUEUE 50
#define CLASS_BASIC 60
#define CLASS_CONFIRM 85

// Class and method in one number, for comparisons and switches.
#define METHOD_ID(class, method) ((uint32_t)(class) << 16 | (method))
#define CONNECTION_START METHOD_ID(CLASS_CONNECTION, 10)
#define CONNECTION_START_OK METHOD_ID(CLASS_CONNECTION, 11)
#define CONNECTION_TUNE METHOD_ID(CLASS_CONNECTION, 30)
#define CONNECTION_TUNE_OK METHOD_ID(CLASS_CONNECTION, 31)
#define CONNECTION_OPEN METHOD_ID(CLASS_CONNECTION, 40)
#define CONNECTION_OPEN_OK METHOD_ID(CLASS_CONNECTION, 41)
#define CONNECTION_CLOSE METHOD_ID(CLASS_CONNECTION, 50)
#define CONNECTION_CLOSE_OK METHOD_ID(CLASS_CONNECTION, 51)
#define CONNECTION_BLOCKED METHOD_ID(CLASS_CONNECTION, 60)
#define CHANNEL_OPEN METHOD_ID(CLASS_CHANNEL, 10)
#define CHANNEL_OPEN_OK METHOD_ID(CLASS_CHANNEL, 11)
#define CHANNEL_CLOSE METHOD_ID(CLASS_CHANNEL, 40)
#define EXCHANGE_DECLARE METHOD_ID(CLASS_EXCHANGE, 10)
#define EXCHANGE_DECLARE_OK METHOD_ID(CLASS_EXCHANGE, 11)
#define EXCHANGE_DELETE METHOD_ID(CLASS_EXCHANGE, 20)
#define EXCHANGE_DELETE_OK METHOD_ID(CLASS_EXCHANGE, 21)
#define QUEUE_DECLARE METHOD_ID(CLASS_QUEUE, 10)
#define QUEUE_DECLARE_OK METHOD_ID(CLASS_QUEUE, 11)
#define QUEUE_BIND METHOD_ID(CLASS_QUEUE, 20)
#define QUEUE_BIND_OK METHOD_ID(CLASS_QUEUE, 21)
#define QUEUE_DELETE METHOD_ID(CLASS_QUEUE, 40)
#define QUEUE_DELETE_OK METHOD_ID(CLASS_QUEUE, 41)
#define BASIC_QOS METHOD_ID(CLASS_BASIC, 10)
#define BASIC_QOS_OK METHOD_ID(CLASS_BASIC, 11)
#define BASIC_CONSUME METHOD_ID(CLASS_BASIC, 20)
#define BASIC_CONSUME_OK METHOD_ID(CLASS_BASIC, 21)
#define BASIC_CANCEL METHOD_ID(CLASS_BASIC, 30)
#define BASIC_PUBLISH METHOD_ID(CLASS_BASIC, 40)
#define BASIC_RETURN METHOD_ID(CLASS_BASIC, 50)
#define BASIC_DELIVER METHOD_ID(CLASS_BASIC, 60)
#define BASIC_ACK METHOD_ID(CLASS_BASIC, 80)
#define BASIC_NACK METHOD_ID(CLASS_BASIC, 120)
#define CONFIRM_SELECT METHOD_ID(CLASS_CONFIRM, 10)
#define CONFIRM_SELECT_OK METHOD_ID(CLASS_CONFIRM, 11)

static inline uint8_t *put8(uint8_t *at, unsigned value) {
  *at = (uint8_t)value;
  return at + 1;
}

static inline uint8_t *put16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
  return at + 2;
}

static inline uint8_t *put32(uint8_t *at, uint32_t value) {
  return put16(put16(at, value >> 16), value & 0xFFFF);
}

static inline uint8_t *put64(uint8_t *at, uint64_t value) {
  return put32(put32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

static inline uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t length) {
  memcpy(at, bytes, length);
  return at + length;
}

static inline uint8_t *put_short_string(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  return put_bytes(put8(at, (unsigned)length), text, length);
}

static inline uint8_t *put_long_string(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  return put_bytes(put32(at, (uint32_t)length), text, length);
}

// A table begins with its length, which is known only when its end is reached: begin_table() leaves
// the room, end_table() fills it in.
static inline uint8_t *begin_table(uint8_t *at) {
  return at + 4;
}

static inline uint8_t *end_table(uint8_t *content, uint8_t *end) {
  put32(content - 4, (uint32_t)(end - content));
  return end;
}

static inline uint8_t *put_text_field(uint8_t *at, const char *name, const char *text) {
  return put_long_string(put8(put_short_string(at, name), 'S'), text);
}

static inline uint8_t *put_true_field(uint8_t *at, const char *name) {
  return put8(put8(put_short_string(at, name), 't'), 1);
}

static inline uint16_t get16(const uint8_t *at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t get64(const uint8_t *at) {
  return (uint64_t)get32(at) << 32 | get32(at + 4);
}
