#pragma once
#include "base/text.h"
#include "wire/message.h"

#include <sys/types.h>

/* The image's command as a service of the built-in init. */
struct service {
	const char *user;   /* as in the image; empty: root */
	const char *folder; /* empty: / */
	int stop_signal;    /* that asks it to end */
	const char *const *argv;
};

/* In the image, before it starts: could it be run at all? GUEST with the reason why not. */
MUST_USE int service_check(const struct message_config *config, struct annex_error **err);
/* The command line of the built-in init that runs it, and back; false: that has no service. -ENOMEM. */
MUST_USE int service_words(struct text_list *ret, const struct message_config *config);
bool service_parse(struct service *ret, int argc, char **argv);
/* Its process, once it is executed. It writes to our standard output, by a further process that ends with its output.
 * All signals are blocked here, and none there. */
MUST_USE int service_start(pid_t *ret, const struct service *service, struct annex_error **err);
/* Tell the agent, who waits for it on NOTIFY_SOCKET: that it runs, or (an error) why it never will. */
void service_tell(const struct annex_error *err);
