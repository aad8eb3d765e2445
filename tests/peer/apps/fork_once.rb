# SPDX-License-Identifier: PostgreSQL
# fork_once.py for Ruby: a parent in a transaction forks; the child does one thing to the
# inherited connection. usage: fork_once.rb ACTION    prints one JSON object
require 'json'
require 'pg'

CONFIG = JSON.parse(File.read(ENV.fetch('APP_CONFIG')))
MARK = 'set before the fork'.freeze

def connect
  PG.connect(CONFIG['conninfo'])
end

def one(db, sql)
  db.exec(sql).getvalue(0, 0)
end

def backend(db)
  one(db, 'select pg_backend_pid()').to_i
end

def act(db, action)
  case action
  when 'query' then { backend: backend(db) }
  when 'close' then db.finish && {} || {}
  when 'reset' then db.reset && { backend: backend(db) }
  else {}
  end
end

# The child ends as Ruby programs do: every connection it still has is freed, which closes it.
def child(db, action, pipe)
  begin
    report = act(db, action)
  rescue PG::Error => e
    report = { error: e.message.lines.first.to_s }
  end
  pipe.puts(JSON.generate(report.merge(own: backend(connect))))
  pipe.close
  exit
end

db = connect
db.exec('begin')
result = { before: backend(db) }
one(db, "select set_config('peer.mark', '#{MARK}', true)")
reader, writer = IO.pipe
pid = fork do
  reader.close
  Thread.new { sleep(10) && exit!(99) }
  child(db, ARGV[0], writer)
end
writer.close
report = JSON.parse(reader.read.then { |text| text.empty? ? '{}' : text })
_, status = Process.wait2(pid)
result[:child] = report.merge(status: status.to_i)
begin
  result[:after] = backend(db)
  result[:mark] = one(db, "select current_setting('peer.mark', true)") == MARK
  db.exec('commit')
rescue PG::Error => e
  result[:error] = e.message.lines.first.to_s
end
puts JSON.generate(result)
