# SPDX-License-Identifier: Apache-2.0

# One cmocka program a subject; each is made of its .c file and of what is named for it below.
unit_tests =
if WITH_CMOCKA
unit_tests += \
	%D%/test_advice \
	%D%/test_algorithm \
	%D%/test_bans \
	%D%/test_base \
	%D%/test_blocks \
	%D%/test_bound \
	%D%/test_calendar \
	%D%/test_catalog \
	%D%/test_charged \
	%D%/test_client \
	%D%/test_client_masters \
	%D%/test_client_sharing \
	%D%/test_cluster \
	%D%/test_connection \
	%D%/test_guard \
	%D%/test_http \
	%D%/test_index \
	%D%/test_interleave \
	%D%/test_keeper \
	%D%/test_keyname \
	%D%/test_lane \
	%D%/test_limiter \
	%D%/test_lookup \
	%D%/test_module_text \
	%D%/test_offenders \
	%D%/test_policy \
	%D%/test_races \
	%D%/test_rate \
	%D%/test_reader \
	%D%/test_recovery \
	%D%/test_redis_acl \
	%D%/test_refusal \
	%D%/test_sentinel \
	%D%/test_shared_file \
	%D%/test_shm \
	%D%/test_sink \
	%D%/test_sketch \
	%D%/test_statuses \
	%D%/test_table \
	%D%/test_tally \
	%D%/test_unload \
	%D%/test_url \
	%D%/test_url_option \
	%D%/test_url_server \
	%D%/test_zone
if WITH_REDIS_SERVER
unit_tests += \
	%D%/test_changes \
	%D%/test_clocks \
	%D%/test_index_limits \
	%D%/test_index_redis \
	%D%/test_lease \
	%D%/test_log \
	%D%/test_mixed \
	%D%/test_queue \
	%D%/test_redis_store \
	%D%/test_replay \
	%D%/test_script \
	%D%/test_tls \
	%D%/test_vectors
endif
endif
check_PROGRAMS += $(unit_tests)

sanitized_tests = $(fuzz_tests)
if WITH_CMOCKA
sanitized_tests += \
	%D%/test_bans \
	%D%/test_calendar \
	%D%/test_catalog \
	%D%/test_client \
	%D%/test_client_masters \
	%D%/test_client_sharing \
	%D%/test_connection \
	%D%/test_guard \
	%D%/test_keeper \
	%D%/test_index \
	%D%/test_lane \
	%D%/test_limiter \
	%D%/test_lookup \
	%D%/test_reader \
	%D%/test_sink \
	%D%/test_sketch \
	%D%/test_tally \
	%D%/test_zone
if WITH_REDIS_SERVER
sanitized_tests += \
	%D%/test_index_redis \
	%D%/test_lease \
	%D%/test_queue \
	%D%/test_redis_store \
	%D%/test_tls
endif
endif

# What of the status page knows no httpd.
status_parts = \
	mod_ratelimit_redis/chart.c \
	mod_ratelimit_redis/chart.h \
	mod_ratelimit_redis/sink.c \
	mod_ratelimit_redis/sink.h \
	mod_ratelimit_redis/sketch.c \
	mod_ratelimit_redis/sketch.h \
	mod_ratelimit_redis/tally.c \
	mod_ratelimit_redis/tally.h \
	mod_ratelimit_redis/view.c \
	mod_ratelimit_redis/view.h

tests_unit_test_bans_SOURCES = \
	%D%/test_bans.c %D%/failing_memory.h %D%/fake_index.c %D%/fake_index.h
tests_unit_test_bans_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_create
tests_unit_test_base_SOURCES = %D%/test_base.c %D%/failing_memory.h
tests_unit_test_blocks_SOURCES = %D%/test_blocks.c %D%/step_help.h
tests_unit_test_calendar_SOURCES = %D%/test_calendar.c %D%/tzif_help.h
tests_unit_test_catalog_SOURCES = %D%/test_catalog.c %D%/failing_memory.h
tests_unit_test_changes_SOURCES = %D%/test_changes.c %D%/drawn_help.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_clocks_SOURCES = %D%/test_clocks.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_clocks_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rlc__clock_wall_us
tests_unit_test_cluster_SOURCES = %D%/test_cluster.c %D%/reply_help.h
tests_unit_test_index_SOURCES = %D%/test_index.c %D%/index_help.h %D%/table_help.h
tests_unit_test_index_limits_SOURCES = \
	%D%/test_index_limits.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_index_redis_SOURCES = \
	%D%/test_index_redis.c %D%/failing_memory.h %D%/fake_server.c %D%/fake_server.h \
	%D%/index_help.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_index_redis_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rlc__client_begin
tests_unit_test_interleave_SOURCES = %D%/test_interleave.c %D%/step_help.h
tests_unit_test_keeper_SOURCES = %D%/test_keeper.c %D%/failing_memory.h
tests_unit_test_lease_SOURCES = \
	%D%/test_lease.c %D%/failing_memory.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_log_SOURCES = \
	%D%/test_log.c %D%/table_help.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_module_text_SOURCES = \
	%D%/test_module_text.c mod_ratelimit_redis/text.c mod_ratelimit_redis/text.h
tests_unit_test_module_text_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/mod_ratelimit_redis
tests_unit_test_statuses_SOURCES = \
	%D%/test_statuses.c mod_ratelimit_redis/statuses.c mod_ratelimit_redis/statuses.h
tests_unit_test_statuses_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/mod_ratelimit_redis
tests_unit_test_offenders_SOURCES = \
	%D%/test_offenders.c mod_ratelimit_redis/offenders.c mod_ratelimit_redis/offenders.h
tests_unit_test_offenders_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/mod_ratelimit_redis
tests_unit_test_policy_SOURCES = %D%/test_policy.c %D%/failing_memory.h
tests_unit_test_queue_SOURCES = %D%/test_queue.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_rate_SOURCES = %D%/test_rate.c
tests_unit_test_races_SOURCES = %D%/test_races.c %D%/table_help.h
tests_unit_test_races_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rlc__clock_boottime_us
tests_unit_test_recovery_SOURCES = %D%/test_recovery.c %D%/step_help.h
tests_unit_test_redis_store_SOURCES = \
	%D%/test_redis_store.c %D%/failing_memory.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_refusal_SOURCES = %D%/test_refusal.c %D%/reply_help.h
tests_unit_test_replay_SOURCES = %D%/test_replay.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_mixed_SOURCES = %D%/test_mixed.c %D%/drawn_help.h %D%/redis_server.c %D%/redis_server.h
tests_unit_test_shared_file_SOURCES = %D%/test_shared_file.c %D%/failing_memory.h
tests_unit_test_sentinel_SOURCES = %D%/test_sentinel.c %D%/reply_help.h
tests_unit_test_lookup_SOURCES = %D%/test_lookup.c %D%/fake_server.c %D%/fake_server.h
tests_unit_test_lookup_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getaddrinfo
tests_unit_test_script_SOURCES = %D%/test_script.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_shm_SOURCES = %D%/test_shm.c %D%/table_help.h
tests_unit_test_table_SOURCES = %D%/test_table.c %D%/table_help.h
tests_unit_test_client_SOURCES = \
	%D%/test_client.c %D%/client_help.h %D%/fake_server.c %D%/fake_server.h
tests_unit_test_client_sharing_SOURCES = \
	%D%/test_client_sharing.c %D%/client_help.h %D%/fake_server.c %D%/fake_server.h
tests_unit_test_client_masters_SOURCES = \
	%D%/test_client_masters.c %D%/client_help.h %D%/fake_server.c %D%/fake_server.h
tests_unit_test_lane_SOURCES = %D%/test_lane.c %D%/fake_server.c %D%/fake_server.h
tests_unit_test_connection_SOURCES = \
	%D%/test_connection.c %D%/fake_server.c %D%/fake_server.h
tests_unit_test_unload_SOURCES = %D%/test_unload.c
tests_unit_test_url_SOURCES = %D%/test_url.c %D%/failing_memory.h %D%/url_help.h
tests_unit_test_url_option_SOURCES = %D%/test_url_option.c %D%/url_help.h
tests_unit_test_url_server_SOURCES = %D%/test_url_server.c %D%/url_help.h
tests_unit_test_tls_SOURCES = \
	%D%/test_tls.c %D%/tls_files.c %D%/tls_files.h %D%/fake_server.c %D%/fake_server.h \
	%D%/redis_server.c %D%/redis_server.h
tests_unit_test_sink_SOURCES = %D%/test_sink.c $(status_parts)
tests_unit_test_sketch_SOURCES = \
	%D%/test_sketch.c mod_ratelimit_redis/sketch.c mod_ratelimit_redis/sketch.h
tests_unit_test_sketch_LDADD = $(LDADD) -lpthread
tests_unit_test_tally_SOURCES = %D%/test_tally.c $(status_parts)
tests_unit_test_vectors_SOURCES = %D%/test_vectors.c %D%/redis_server.c %D%/redis_server.h
tests_unit_test_zone_SOURCES = %D%/test_zone.c %D%/failing_memory.h %D%/tzif_help.h
