#pragma once
#include "cli/command.h"
#include "cli/output.h"

/* What the commands that work with a machine's ports have in common. */

/* How it is reached, or would be after a start: a list of objects. */
MUST_USE int ports_list(json_t **ret, struct annex_machine *machine, struct annex_error **err);
/* Parse what the library has told. */
MUST_USE int ports_parse(json_t **ret, const char *text, struct annex_error **err);
/* A text of a port; "" where it has none. */
const char *ports_text(const json_t *port, const char *key);
/* "127.88.3.7:80", "[::1]:53/udp"; "-" where there is no port. False: it is too long to be true. */
#define PORTS_PLACE 80u
bool ports_place(char buffer[PORTS_PLACE], const json_t *port);
