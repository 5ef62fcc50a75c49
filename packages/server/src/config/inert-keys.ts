/**
 * Keys that RabbitMQ 3.x or 4.x knows and that change nothing in this broker, or nothing yet. They
 * are accepted, whatever their value, so that a configuration can be taken over as it is, and the
 * log names them once. A key that gets an effect moves to config-keys.ts. Patterns as in
 * setting-key.ts; whole families of plugins are open.
 */
export const inertKeys: readonly string[] = [
  // Listeners and TLS
  ..."listeners.ssl listeners.ssl.* ssl_options ssl_options.** ssl_handshake_timeout".split(" "),
  ..."ssl_allow_poodle_attack ssl_cert_login_from ssl_cert_login_san_type".split(" "),
  ..."ssl_cert_login_san_index num_acceptors.tcp num_acceptors.ssl reverse_dns_lookups".split(" "),
  ..."proxy_protocol tcp_listen_options tcp_listen_options.** ranch_connection_max".split(" "),
  ..."socket_writer.gc_threshold".split(" "),
  // Limits and memory
  ..."vm_memory_calculation_strategy".split(" "),
  ..."memory_monitor_interval".split(" "),
  ..."channel_max_per_node vhost_max cluster_queue_limit cluster_exchange_limit".split(" "),
  ..."default_limits.** runtime_parameters.limits.* default_worker_pool_size".split(" "),
  // Users, policies and definitions
  ..."auth_backends.** auth_cache.** auth_ldap.** auth_http.** auth_oauth2.**".split(" "),
  ..."anonymous_login_user anonymous_login_pass password_hashing_module".split(" "),
  ..."credential_validator.** default_users.** default_policies.**".split(" "),
  ..."load_definitions definitions.** track_auth_attempt_source".split(" "),
  // Queues and stores
  ..."queue_index_embed_msgs_below queue_index_max_journal_entries".split(" "),
  ..."message_store_shutdown_timeout msg_store_file_size_limit classic_queue.**".split(" "),
  ..."quorum_queue.** raft.** default_queue_type queue_master_locator queue_leader_locator".split(
    " ",
  ),
  ..."quorum_cluster_size lazy_queue_explicit_gc_run_operation_threshold".split(" "),
  ..."mirroring_sync_batch_size mirroring_sync_max_throughput vhost_restart_strategy".split(" "),
  ..."mnesia_table_loading_retry_timeout mnesia_table_loading_retry_limit".split(" "),
  ..."metadata_store.** khepri_default_timeout khepri_leader_wait_retry_timeout".split(" "),
  // Clusters
  ..."cluster_partition_handling cluster_partition_handling.** cluster_formation.**".split(" "),
  ..."cluster_keepalive_interval net_ticktime delegate_count distribution.**".split(" "),
  ..."cluster_tags.* node_tags.*".split(" "),
  // Logs: those that go elsewhere than the console, and categories
  ..."log.dir log.file log.file.** log.exchange.formatter.** log.syslog log.syslog.**".split(" "),
  ..."log.journald log.journald.** log.console.use_colors log.console.color_esc_seqs.*".split(" "),
  ..."log.console.formatter.** log.default.rotation.* log.channel.** log.connection.**".split(" "),
  ..."log.federation.** log.mirroring.** log.prelaunch.** log.queue.** log.ra.**".split(" "),
  ..."log.upgrade.** log.ldap.** log.shovel.** log.access.** log.osiris.**".split(" "),
  // Statistics and the Erlang machine
  ..."collect_statistics collect_statistics_interval background_gc_enabled".split(" "),
  ..."background_gc_target_interval hipe_compile erlang.** sysmon_handler.**".split(" "),
  ..."motd_file schedulers".split(" "),
  // Behaviour that 4.x lets one choose
  ..."deprecated_features.permit.* message_interceptors.** amqp_client.** amqp1_0.**".split(" "),
  // Plugins
  ..."management.** management_agent.** prometheus.** mqtt.** stomp.** stream.**".split(" "),
  ..."web_mqtt.** web_stomp.** web_dispatch.** trust_store.** event_exchange.protocol".split(" "),
  ..."federation.** shovel.** aws.** tracing.** top.** jms_topic_exchange.**".split(" "),
];
