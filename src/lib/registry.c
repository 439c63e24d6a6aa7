#include "annex/registry.h"

#include "base/text.h"
#include "lib/context.h"
#include "lib/pull.h"
#include "registry/client.h"
#include "registry/credential.h"
#include "registry/reference.h"

#include <string.h>

static void tell(const char *text, void *data)
{
	if (text)
		context_report(data, "login", text, 0, 0, false);
}

static int try_login(struct annex_context *context, const char *domain, const struct annex_login_options *options,
		     const struct credential *credential, struct annex_error **err)
{
	struct registry_client_options with = {.check = context_stops, .notice = tell, .data = context};
	auto_registry_client struct registry_client *client = NULL;

	if (pull_scheme(&with.scheme, options->scheme, err) < 0 || registry_client_new(&client, &with, err) < 0)
		return -1;
	return registry_check_login(client, domain, credential, err);
}

API int annex_registry_login(char **ret_where, struct annex_context *context, const char *registry,
			     const struct annex_login_options *options, struct annex_error **err)
{
	struct annex_login_options chosen = ANNEX_LOGIN_OPTIONS_INIT;
	auto_credential struct credential credential = {0};
	auto_free char *domain = NULL;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (!chosen.username || !*chosen.username || !chosen.password || !*chosen.password)
		return fail(err, ANNEX_ERROR_USAGE, "a user name and a password are needed");
	if (strchr(chosen.username, ':'))
		return fail(err, ANNEX_ERROR_USAGE, "a user name can't have a colon");
	if (reference_parse_domain(&domain, registry, err) < 0)
		return -1;
	credential.username = strdup(chosen.username);
	credential.password = strdup(chosen.password);
	if (!credential.username || !credential.password)
		return fail_memory(err);
	if (try_login(context, domain, &chosen, &credential, err) < 0 || context_check_cancelled(context, err) < 0)
		return -1;
	return credential_store(ret_where, domain, &credential, err);
}

API int annex_registry_logout(struct annex_context *context, const char *registry, struct annex_error **err)
{
	auto_free char *domain = NULL;

	(void)context;
	return reference_parse_domain(&domain, registry, err) < 0 ? -1 : credential_erase(domain, err);
}

API int annex_registry_list(char ***ret, size_t *ret_count, struct annex_context *context, struct annex_error **err)
{
	auto_text_list struct text_list domains = {0};

	(void)context;
	if (credential_list(&domains, err) < 0)
		return -1;
	if (!domains.items)
		domains.items = calloc(1, sizeof(*domains.items));
	if (!domains.items)
		return fail_memory(err);
	*ret_count = domains.count;
	*ret = domains.items;
	domains = (struct text_list){0};
	return 0;
}

API void annex_registry_list_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}
