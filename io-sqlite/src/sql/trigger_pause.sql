-- Pauses or resumes a trigger.
update triggers set paused = ?3 where app = ?1 and name = ?2 and deleted_at is null
