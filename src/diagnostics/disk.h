/*-------------------------------------------------------------------------
 *
 * disk.h
 *	  Space of the file systems that the server writes to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DISK_H
#define FT_DISK_H

#include "datatype/timestamp.h"

extern void ft_disk_init(void);
extern void ft_disk_sample(TimestampTz now);

#endif							/* FT_DISK_H */
