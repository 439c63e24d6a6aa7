#include "rootfs/locale.h"

int locale_enter_plain(struct locale_plain *locale)
{
	locale->plain = newlocale(LC_ALL_MASK, "C", NULL);
	if (!locale->plain)
		return -ENOMEM;
	locale->before = uselocale(locale->plain);
	return 0;
}

void locale_leave_plain(struct locale_plain *locale)
{
	if (!locale->plain)
		return;
	uselocale(locale->before);
	freelocale(locale->plain);
}
