#pragma once
#include "json/json.h"

/*
 * TOML 1.0 (toml.io) as far as configurations of registries go: tables, arrays of tables, dotted keys, strings of one
 * line, whole decimal numbers, booleans, arrays and inline tables. Anything else is an error.
 */
#define TOML_SIZE_LIMIT  (1u << 20) /* bytes of a document */
#define TOML_TABLE_LIMIT 2048u      /* tables and arrays of tables */
#define TOML_KEY_LIMIT   16u        /* parts of a dotted key */
#define TOML_DEPTH_LIMIT 16u        /* of arrays and inline tables in each other */

/* Tables become objects, numbers integers. CORRUPT; `what` and the line stand in the message. */
MUST_USE int toml_parse(json_t **ret, const char *bytes, size_t size, const char *what, struct annex_error **err);
