/** The door of the store: where message bytes live. */

export {
  DataDirectory,
  type DataDirectoryOptions,
  dataFormat,
  noLock,
} from "./disk/data-directory.ts";
export { DataDirectoryError, type DataDirectoryProblem } from "./disk/data-directory-error.ts";
export { type DirectoryLock, lockDirectory } from "./disk/directory-lock.ts";
export {
  type Disk,
  DiskError,
  type DiskFile,
  type DiskOperation,
  type DiskSpace,
  type OpenMode,
} from "./disk/disk.ts";
export { type DiskScheduler, PromptScheduler, SeededScheduler } from "./disk/disk-scheduler.ts";
export type { FaultPlan, FaultRule } from "./disk/fault-plan.ts";
export { type Crash, FaultyDisk, type FaultyDiskOptions } from "./disk/faulty-disk.ts";
export { MemoryDisk } from "./disk/memory-disk.ts";
export { RealDisk } from "./disk/real-disk.ts";
export type { LogReport, SegmentReport } from "./inspection/log-inspection.ts";
export { inspectStore, type QueueReport, type StoreReport } from "./inspection/store-inspection.ts";
export { type ConfirmLevel, confirmLevels } from "./log/confirm-level.ts";
export { DurableLog, type DurableLogOptions } from "./log/durable-log.ts";
export type { LogCounters } from "./log/log-counters.ts";
export { defaultSizes, type LogSizes } from "./log/log-sizes.ts";
export { DeliveryNote, type LogStats, MessageLog } from "./log/message-log.ts";
export {
  headBytes,
  kindAndTargets,
  kindWord,
  RecordKind,
  recordBytes,
  userWord,
} from "./log/record.ts";
export { inspectMetadata, type MetadataReport } from "./metadata/lmdb-inspection.ts";
export { LmdbMetadataStore } from "./metadata/lmdb-metadata-store.ts";
export { MemoryMetadataStore } from "./metadata/memory-metadata-store.ts";
export { MetadataError, type MetadataErrorCode } from "./metadata/metadata-error.ts";
export type { MetadataKind } from "./metadata/metadata-kind.ts";
export type {
  MetadataChange,
  MetadataCondition,
  MetadataEntry,
  MetadataKey,
  MetadataStore,
  MetadataValue,
} from "./metadata/metadata-store.ts";
export { streamOffsetRecords } from "./metadata/stream-offset-records.ts";
export {
  type BindingRecord,
  bindingRecords,
  defaultDataMade,
  type ExchangeRecord,
  exchangeRecords,
  type GlobalParameterRecord,
  globalParameterRecords,
  needsDefaultData,
  operatorPolicyRecords,
  type ParameterRecord,
  type PermissionRecord,
  type PolicyRecord,
  parameterRecords,
  permissionRecords,
  policyRecords,
  prepareTopology,
  type QueueRecord,
  queueNumberCounter,
  queueRecords,
  removeUser,
  removeVirtualHost,
  type TopicPermissionRecord,
  topicPermissionRecords,
  topologyLayout,
  type UserRecord,
  userRecords,
  type VirtualHostRecord,
  virtualHostRecords,
} from "./metadata/topology-records.ts";
export {
  isAfter,
  type LogPlace,
  type StreamChunk,
  streamRecordHeadBytes,
} from "./stream/stream-chunk.ts";
export type { StreamLog, StreamRetention } from "./stream/stream-log.ts";
export { StreamReader } from "./stream/stream-reader.ts";
export { defaultStreamSizes, type StreamSizes, StreamStore } from "./stream/stream-store.ts";
