/*-------------------------------------------------------------------------
 *
 * uuid.h
 *	  Time-ordered keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_UUID_H
#define FT_UUID_H

#include "utils/uuid.h"

extern void ft_uuid_generate(pg_uuid_t *uuid);
extern char *ft_uuid_string(const pg_uuid_t *uuid);
extern bool ft_uuid_equal(const pg_uuid_t *a, const pg_uuid_t *b);

#endif							/* FT_UUID_H */
