/*-------------------------------------------------------------------------
 *
 * client_names.h
 *	  What the client of this session asked to be connected as.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_CLIENT_NAMES_H
#define FT_CLIENT_NAMES_H

/* NULL if it did not say, or if there is no client.  Can be called anywhere. */
extern const char *ft_client_database(void);
extern const char *ft_client_user(void);
extern const char *ft_client_application(void);

#endif							/* FT_CLIENT_NAMES_H */
