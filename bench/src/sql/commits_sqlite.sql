insert into commits (id, data) values (?1, '{"order":1,"customer":"ada","total":12.50}')
