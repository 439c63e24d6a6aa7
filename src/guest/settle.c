#include "guest/settle.h"

#include "base/log.h"
#include "guest/env.h"
#include "guest/linger.h"
#include "guest/login.h"
#include "guest/passwd.h"
#include "guest/profile.h"
#include "guest/share.h"
#include "guest/timezone.h"

#include <string.h>

int settle_user(const struct message_config *config, struct annex_error **err)
{
	auto_passwd_user struct passwd_user user = {0};
	auto_free char *passwd = NULL;
	int result;

	if (passwd_read(&passwd, "/etc/passwd", "", err) < 0)
		return -1;
	result = passwd_by_uid(&user, passwd, config->uid);
	if (result < 0)
		return result == -ENOENT ? 0 : fail_os(err, result, "cannot find the user");
	return linger_set("", user.name, err);
}

static void say(struct annex_error **err)
{
	if (*err)
		log_info("%s", annex_error_message(*err));
	annex_error_free(TAKE(*err));
}

int settle_image(char **ret_zone, const struct message_config *config, bool systemd)
{
	auto_text_list struct text_list env = {0};
	struct annex_error *err = NULL;
	const char *zone;

	if (timezone_set("", config->time_zone, &err) < 0)
		say(&err);
	if (login_set_machine(&env, "", config) < 0)
		return -ENOMEM;
	if (profile_write("", env_get(&env, "PATH"), &err) < 0)
		say(&err);
	if (systemd && settle_user(config, &err) < 0)
		say(&err);
	if (systemd && share_has_home(config->shares) && linger_make_units("", config->uid, config->gid, &err) < 0)
		say(&err);
	zone = env_get(&env, "TZ");
	*ret_zone = strdup(zone ? zone : "");
	return *ret_zone ? 0 : -ENOMEM;
}
