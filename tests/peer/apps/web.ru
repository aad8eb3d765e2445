# SPDX-License-Identifier: PostgreSQL
# A Rack application on connections that are opened when the file is loaded, in the master.
require 'json'
require 'pg'

CONFIG = JSON.parse(File.read(ENV.fetch('APP_CONFIG')))
ECHO = 'select $1::text, pg_backend_pid() from pg_sleep(0.002)'.freeze
CONNECTIONS = Queue.new
CONFIG['connections'].times { CONNECTIONS << PG.connect(CONFIG['conninfo']) }
PIDS = Array.new(CONNECTIONS.size) { CONNECTIONS.pop.tap { |db| CONNECTIONS << db }.backend_pid }
File.write("#{CONFIG['witness']}.pids", JSON.generate(PIDS))

def echo(nonce)
  db = CONNECTIONS.pop
  row = db.exec_params(ECHO, [nonce]).values.first
  { worker: Process.pid, nonce: row[0], backend: row[1].to_i }
rescue PG::Error => e
  db.reset
  { worker: Process.pid, error: e.message.lines.first.to_s.strip }
ensure
  CONNECTIONS << db
end

application = lambda do |env|
  reply = echo(env['QUERY_STRING'].delete_prefix('nonce='))
  [reply[:error] ? 500 : 200, { 'Content-Type' => 'application/json' }, [JSON.generate(reply)]]
end
run application
