-- One statement, tried again while its error may go away: retry.c

CREATE PROCEDURE ft.retry(
    statement text, max_attempts integer DEFAULT 5,
    first_delay interval DEFAULT '100 ms', max_delay interval DEFAULT '10 s',
    jitter double precision DEFAULT 0.5, INOUT attempts integer DEFAULT NULL)
AS 'MODULE_PATHNAME', 'ft_retry'
LANGUAGE C;

COMMENT ON PROCEDURE ft.retry(text, integer, interval, interval, double precision, integer) IS
'run one statement, and again in a new transaction as long as its error may go away by itself; says how many attempts it took';

