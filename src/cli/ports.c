#include "cli/ports.h"

#include "base/text.h"

#include <annex/port.h>
#include <stdio.h>
#include <string.h>

int ports_parse(json_t **ret, const char *text, struct annex_error **err)
{
	auto_json json_t *list = NULL;
	json_error_t problem;

	list = json_loads(text, 0, &problem);
	if (!json_is_array(list))
		return fail(err, ANNEX_ERROR_CORRUPT, "not a list of ports: %s", problem.text);
	*ret = TAKE(list);
	return 0;
}

int ports_list(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_free char *text = NULL;

	return annex_machine_ports(&text, machine, err) < 0 ? -1 : ports_parse(ret, text, err);
}

const char *ports_text(const json_t *port, const char *key)
{
	const char *text = json_string_value(json_object_get(port, key));

	return text ? text : "";
}

bool ports_place(char buffer[PORTS_PLACE], const json_t *port)
{
	const char *host = ports_text(port, "host");
	long long number = json_integer_value(json_object_get(port, "host-port"));
	bool is_udp = text_equal(ports_text(port, "protocol"), "udp"), is_v6 = strchr(host, ':');
	int length = 1;

	if (number == 0)
		snprintf(buffer, PORTS_PLACE, "-");
	else
		length = snprintf(buffer, PORTS_PLACE, is_v6 ? "[%s]:%lld%s" : "%s:%lld%s", host, number,
				  is_udp ? "/udp" : "");
	return length > 0 && (size_t)length < PORTS_PLACE;
}
