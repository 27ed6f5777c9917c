-- Let the background workers know, when this commits, of the database.
SELECT ft.wake_worker();
