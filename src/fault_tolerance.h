/*-------------------------------------------------------------------------
 *
 * fault_tolerance.h
 *	  Names shared by all of the extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FAULT_TOLERANCE_H
#define FAULT_TOLERANCE_H

#define FT_EXTENSION_NAME	"fault_tolerance"
#define FT_SCHEMA_NAME		"ft"
#define FT_VERSION			"0.1"

#endif							/* FAULT_TOLERANCE_H */
