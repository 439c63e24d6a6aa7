#include "registry/credential.h"

#include "registry/dockerconfig.h"
#include "registry/helper.h"
#include "registry/place.h"

#include <stdio.h>
#include <string.h>

void credential_clear(struct credential *credential)
{
	text_wipe(&credential->username);
	text_wipe(&credential->password);
	text_wipe(&credential->identity_token);
}

bool credential_is_empty(const struct credential *credential)
{
	return !credential->username && !credential->password && !credential->identity_token;
}

/* The files, in the order in which they are searched. */
enum { FILES = 3 };
struct source {
	char *path;
	bool is_docker;
};
struct sources {
	struct source items[FILES];
	size_t count;
};

static void sources_clear(struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		free(sources->items[i].path);
}
#define auto_sources CLEANUP(sources_clear)

static int sources_list(struct sources *ret, struct annex_error **err)
{
	static const struct {
		int (*find)(char **ret, const char *name);
		const char *name;
		bool is_docker;
	} places[FILES] = {
		{place_runtime, "containers/auth.json", false},
		{place_config, "containers/auth.json", false},
		{place_docker, "config.json", true},
	};
	const char *only = getenv("REGISTRY_AUTH_FILE");

	if (only && *only) {
		ret->items[0].path = strdup(only);
		ret->count = ret->items[0].path ? 1 : 0;
		return ret->count ? 0 : fail_memory(err);
	}
	for (size_t i = 0; i < FILES; i++) {
		struct source *source = &ret->items[ret->count];
		int result = places[i].find(&source->path, places[i].name);

		if (result == -ENOMEM)
			return fail_memory(err);
		if (result < 0)
			continue;
		source->is_docker = places[i].is_docker;
		ret->count++;
	}
	return 0;
}

/* 1: read, 0: there is no such file. */
static int read_source(struct dockerconfig *ret, const struct source *source, struct annex_error **err)
{
	auto_error struct annex_error *problem = NULL;

	if (dockerconfig_read(ret, source->path, source->is_docker, &problem) == 0)
		return 1;
	if (annex_error_kind(problem) == ANNEX_ERROR_NOT_FOUND)
		return 0;
	if (err)
		*err = TAKE(problem);
	return -1;
}

/* The domain's own helper, or else that for all domains; NULL: the file keeps them itself. */
static int helper_of(const char **ret, const struct dockerconfig *config, const char *domain, struct annex_error **err)
{
	if (dockerconfig_helper(ret, config, domain, err) < 0)
		return -1;
	return *ret ? 0 : dockerconfig_store(ret, config, err);
}

static int helper_failed(const struct dockerconfig *config, const char *domain, const char *name,
			 struct annex_error **err)
{
	if (err && annex_error_kind(*err) == ANNEX_ERROR_CANCELLED)
		return -1;
	fail_while(err, "credentials for %s", domain);
	return fail_hint(err, "install or repair docker-credential-%s, or take it out of %s", name, config->path);
}

static int ask_helper(struct credential *ret, const struct dockerconfig *config, const char *domain, const char *name,
		      const struct credential_wait *wait, struct annex_error **err)
{
	const char *servers[DOCKERCONFIG_SERVERS];
	size_t count = dockerconfig_servers(servers, config, domain);

	*ret = (struct credential){0};
	for (size_t i = 0; i < count && credential_is_empty(ret); i++) {
		if (helper_get(ret, name, servers[i], wait, err) < 0)
			return helper_failed(config, domain, name, err);
	}
	return 0;
}

static int find_in(struct credential *ret, const struct dockerconfig *config, const char *domain, const char *path,
		   const struct credential_wait *wait, struct annex_error **err)
{
	const char *helper = NULL;

	if (helper_of(&helper, config, domain, err) < 0 ||
	    (helper && ask_helper(ret, config, domain, helper, wait, err) < 0))
		return -1;
	return helper && !credential_is_empty(ret) ? 0 : dockerconfig_find(ret, config, domain, path, err);
}

int credential_find(struct credential *ret, const char *domain, const char *path, const struct credential_wait *wait,
		    struct annex_error **err)
{
	auto_credential struct credential found = {0};
	auto_sources struct sources sources = {0};

	if (sources_list(&sources, err) < 0)
		return -1;
	for (size_t i = 0; i < sources.count && credential_is_empty(&found); i++) {
		auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
		int result = read_source(&config, &sources.items[i], err);

		if (result < 0 || (result > 0 && find_in(&found, &config, domain, path, wait, err) < 0))
			return -1;
	}
	*ret = found;
	found = (struct credential){0};
	return 0;
}

/* The file that new credentials for the domain belong to: see the header. */
static int choose(const struct source **ret, const struct sources *sources, const char *domain,
		  struct annex_error **err)
{
	const struct source *usual = NULL;

	for (size_t i = 0; i < sources->count; i++) {
		auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
		const struct source *source = &sources->items[i];
		int result = read_source(&config, source, err);
		const char *helper = NULL;

		if (result < 0 || (result > 0 && helper_of(&helper, &config, domain, err) < 0))
			return -1;
		if (result > 0 && (helper || dockerconfig_holds(&config, domain))) {
			*ret = source;
			return 0;
		}
		/* The run time folder's file goes with the session, Docker's is not ours to begin. */
		if (sources->count == 1 || (source->is_docker ? result > 0 : i > 0))
			usual = source;
	}
	if (!usual)
		return fail(err, ANNEX_ERROR_USAGE,
			    "there is no place for credentials: neither HOME nor XDG_CONFIG_HOME is set");
	*ret = usual;
	return 0;
}

static int store_by_helper(struct dockerconfig *config, const char *name, const char *domain,
			   const struct credential *credential, struct annex_error **err)
{
	const char *servers[DOCKERCONFIG_SERVERS];
	bool removed, changed = false;

	dockerconfig_servers(servers, config, domain);
	if (helper_store(name, servers[0], credential, err) < 0)
		return helper_failed(config, domain, name, err);
	if (config->is_docker) {
		if (dockerconfig_put(config, domain, NULL, err) < 0)
			return -1;
		changed = true;
	} else if (dockerconfig_remove(config, domain, &removed, &changed, err) < 0) {
		return -1;
	}
	return changed ? dockerconfig_write(config, err) : 0;
}

int credential_store(char **ret_where, const char *domain, const struct credential *credential,
		     struct annex_error **err)
{
	auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
	auto_sources struct sources sources = {0};
	const struct source *source = NULL;
	const char *helper = NULL;
	auto_free char *where = NULL;

	if (sources_list(&sources, err) < 0 || choose(&source, &sources, domain, err) < 0 ||
	    dockerconfig_edit(&config, source->path, source->is_docker, err) < 0 ||
	    helper_of(&helper, &config, domain, err) < 0)
		return -1;
	if (helper) {
		if (store_by_helper(&config, helper, domain, credential, err) < 0)
			return -1;
	} else if (dockerconfig_put(&config, domain, credential, err) < 0 || dockerconfig_write(&config, err) < 0) {
		return -1;
	}
	if (asprintf(&where, "%s%s", helper ? "docker-credential-" : "", helper ? helper : source->path) < 0) {
		where = NULL;
		return fail_memory(err);
	}
	*ret_where = TAKE(where);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static void tidy(struct text_list *list)
{
	size_t kept = 0;

	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), by_text);
	for (size_t i = 0; i < list->count; i++) {
		if (kept && strcmp(list->items[i], list->items[kept - 1]) == 0)
			free(list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
	if (list->items)
		list->items[kept] = NULL;
}

int credential_list(struct text_list *ret, struct annex_error **err)
{
	auto_text_list struct text_list made = {0};
	auto_sources struct sources sources = {0};

	if (sources_list(&sources, err) < 0)
		return -1;
	for (size_t i = 0; i < sources.count; i++) {
		auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
		int result = read_source(&config, &sources.items[i], err);

		if (result < 0 || (result > 0 && dockerconfig_list(&made, &config, err) < 0))
			return -1;
	}
	tidy(&made);
	*ret = made;
	made = (struct text_list){0};
	return 0;
}

static int erase_by_helper(bool *ret_erased, const struct dockerconfig *config, const char *name, const char *domain,
			   struct annex_error **err)
{
	const char *servers[DOCKERCONFIG_SERVERS];
	size_t count = dockerconfig_servers(servers, config, domain);

	for (size_t i = 0; i < count; i++) {
		auto_credential struct credential found = {0};

		if (helper_get(&found, name, servers[i], NULL, err) < 0)
			return helper_failed(config, domain, name, err);
		if (credential_is_empty(&found))
			continue;
		if (helper_erase(name, servers[i], err) < 0)
			return helper_failed(config, domain, name, err);
		*ret_erased = true;
	}
	return 0;
}

static int erase_from(bool *ret_erased, const struct source *source, const char *domain, struct annex_error **err)
{
	auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
	bool removed = false, changed = false;
	const char *helper = NULL;

	if (dockerconfig_edit(&config, source->path, source->is_docker, err) < 0 ||
	    helper_of(&helper, &config, domain, err) < 0)
		return -1;
	if ((helper && erase_by_helper(ret_erased, &config, helper, domain, err) < 0) ||
	    dockerconfig_remove(&config, domain, &removed, &changed, err) < 0)
		return -1;
	if (changed && dockerconfig_write(&config, err) < 0)
		return -1;
	*ret_erased = *ret_erased || removed;
	return 0;
}

int credential_erase(const char *domain, struct annex_error **err)
{
	auto_sources struct sources sources = {0};
	bool erased = false;

	if (sources_list(&sources, err) < 0)
		return -1;
	for (size_t i = 0; i < sources.count; i++) {
		auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
		int result = read_source(&config, &sources.items[i], err);

		/* Nothing is made, nor locked, where there is nothing. */
		if (result < 0 || (result > 0 && erase_from(&erased, &sources.items[i], domain, err) < 0))
			return -1;
	}
	return erased ? 0 : fail(err, ANNEX_ERROR_NOT_FOUND, "there are no credentials for %s", domain);
}
