#include "guest/env.h"

#include <string.h>

int env_set(struct text_list *env, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	char *copy;

	if (!equals || equals == assignment)
		return 0;
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], assignment, (size_t)(equals - assignment) + 1) != 0)
			continue;
		copy = strdup(assignment);
		if (!copy)
			return -ENOMEM;
		free(env->items[i]);
		env->items[i] = copy;
		return 0;
	}
	return text_list_add(env, assignment);
}

int env_set_pair(struct text_list *env, const char *name, const char *value)
{
	auto_text struct text made = {0};

	text_add(&made, name);
	text_add_char(&made, '=');
	text_add(&made, value);
	return text_ok(&made) ? env_set(env, made.data) : -ENOMEM;
}

int env_set_all(struct text_list *env, const char *const *assignments)
{
	for (; *assignments; assignments++) {
		if (env_set(env, *assignments) < 0)
			return -ENOMEM;
	}
	return 0;
}

const char *env_get(const struct text_list *env, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=')
			return env->items[i] + length + 1;
	}
	return NULL;
}

int env_candidates(struct text_list *ret, const char *path, const char *name)
{
	if (strchr(name, '/'))
		return text_list_add(ret, name);
	path = path && *path ? path : ENV_PATH;
	for (;;) {
		size_t length = strcspn(path, ":");

		if (text_list_printf(ret, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", name) < 0)
			return -ENOMEM;
		if (!path[length])
			return 0;
		path += length + 1;
	}
}
