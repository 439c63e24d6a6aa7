#include "cli/shares.h"

#include <string.h>

int shares_list(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_free char *text = NULL;
	auto_json json_t *list = NULL;
	json_error_t problem;

	if (annex_machine_shares(&text, machine, err) < 0)
		return -1;
	list = json_loads(text, 0, &problem);
	if (!json_is_array(list))
		return fail(err, ANNEX_ERROR_CORRUPT, "not a list of shares: %s", problem.text);
	*ret = TAKE(list);
	return 0;
}

const char *shares_text(const json_t *share, const char *key)
{
	const char *text = json_string_value(json_object_get(share, key));

	return text ? text : "";
}

/* Without the slashes at its end. */
static size_t path_length(const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return length;
}

const json_t *shares_find(const json_t *list, const char *target)
{
	size_t length = path_length(target);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *share = json_array_get(list, i);
		const char *found = shares_text(share, "target");

		if (strlen(found) == length && memcmp(found, target, length) == 0)
			return share;
	}
	return NULL;
}
