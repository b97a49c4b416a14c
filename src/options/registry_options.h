/*-------------------------------------------------------------------------
 *
 * registry_options.h
 *	  The options of servers and user mappings that are about a schema registry.
 *
 * Called within this folder only.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_REGISTRY_OPTIONS_H
#define SI_REGISTRY_OPTIONS_H

#include "kafka/registry_values.h"

/* Checks of values: NULL, or a sentence that says why not, without the value. */
extern const char *si_registry_check_url(const char *value);
extern const char *si_registry_check_api(const char *value);
extern const char *si_registry_check_timeout(const char *value);
extern const char *si_registry_check_proxy(const char *value);

/* What holds for options that were not given. */
extern void si_registry_options_init(SiRegistryOptions *options);

/* Take an option by its name; the value, which was checked, is not copied. */
extern bool si_registry_options_take(SiRegistryOptions *options, const char *name,
									 const char *value);

/* Error 22023 if the options of a user mapping contradict each other. */
extern void si_registry_options_check_mapping(const SiRegistryOptions *options);

#endif							/* SI_REGISTRY_OPTIONS_H */
