/* Automatic recovery by pg_cron, where there is no background worker. */

CREATE FUNCTION ft.schedule_auto_recovery(schedule text DEFAULT '*/5 * * * *')
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_schedule_auto_recovery'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.schedule_auto_recovery(text) IS
'have pg_cron call ft.auto_recover_failures() as job auto-recover-failures of the caller; again to change the schedule; returns the number of the job';

CREATE FUNCTION ft.unschedule_auto_recovery()
RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_unschedule_auto_recovery'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.unschedule_auto_recovery() IS
'take back ft.schedule_auto_recovery(); returns whether there was such a job of the caller';

