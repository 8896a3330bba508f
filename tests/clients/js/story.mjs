// What programs do with @kubernetes/client-node: run with KUBECONFIG; prints one line of JSON at the end.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const namespace = 'default';
const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const custom = kc.makeApiClient(k8s.CustomObjectsApi);
const done = [];

function deferred() {
  let resolve, reject;
  const promise = new Promise((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
}

async function until(holds) {
  for (let tries = 0; tries < 1000 && !holds(); tries++) await new Promise((next) => setTimeout(next, 10));
  assert.ok(holds(), `never came: ${holds}`);
}

async function typed() {
  const made = await core.createNamespacedConfigMap({
    namespace, body: { metadata: { name: 'settings', labels: { of: 'js' } }, data: { color: 'blue' } },
  });
  assert.ok(made.metadata.uid);
  assert.ok(made.metadata.creationTimestamp instanceof Date);
  const read = await core.readNamespacedConfigMap({ name: 'settings', namespace });
  assert.deepEqual(read.data, { color: 'blue' });
  read.data.size = 'large';
  const replaced = await core.replaceNamespacedConfigMap({ name: 'settings', namespace, body: read });
  assert.deepEqual(replaced.data, { color: 'blue', size: 'large' });
  await assert.rejects(
    core.replaceNamespacedConfigMap({ name: 'settings', namespace, body: made }),
    (error) => error.code === 409 && JSON.parse(error.body).reason === 'Conflict',
  );
  const listed = await core.listNamespacedConfigMap({ namespace, labelSelector: 'of=js' });
  assert.deepEqual(listed.items.map((item) => item.metadata.name), ['settings']);
  await assert.rejects(
    core.readNamespacedConfigMap({ name: 'missing', namespace }),
    (error) => error.code === 404 && JSON.parse(error.body).message === 'configmaps "missing" not found',
  );
  done.push('typed');
}

async function patches() {
  const { PatchStrategy, setHeaderOptions } = k8s;
  const cases = [
    [PatchStrategy.MergePatch, { data: { merged: 'yes', size: null } }],
    [PatchStrategy.StrategicMergePatch, { metadata: { annotations: { strategic: 'yes' } } }],
    [PatchStrategy.JsonPatch, [{ op: 'replace', path: '/data/color', value: 'red' }]],
  ];
  let last;
  for (const [strategy, body] of cases) {
    last = await core.patchNamespacedConfigMap(
      { name: 'settings', namespace, body }, setHeaderOptions('Content-Type', strategy));
  }
  assert.deepEqual(last.data, { color: 'red', merged: 'yes' });
  assert.equal(last.metadata.annotations.strategic, 'yes');
  const applied = await core.patchNamespacedConfigMap(
    { name: 'applied', namespace, fieldManager: 'js', force: true,
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { by: 'apply' } } },
    setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply));
  assert.equal(applied.metadata.managedFields[0].manager, 'js');
  done.push('patches');
}

async function generic() {
  const objects = k8s.KubernetesObjectApi.makeApiClient(kc);
  const spec = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
    spec: { replicas: 2, selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'img' }] } } } };
  await objects.create(spec);
  const scale = await apps.readNamespacedDeploymentScale({ name: 'web', namespace });
  assert.equal(scale.spec.replicas, 2);
  await objects.delete(spec);
  await custom.createNamespacedCustomObject({ group: 'example.com', version: 'v1', namespace, plural: 'things',
    body: { apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'a' }, spec: { x: 1 } } });
  const things = await custom.listNamespacedCustomObject(
    { group: 'example.com', version: 'v1', namespace, plural: 'things' });
  assert.deepEqual(things.items.map((item) => item.spec), [{ x: 1 }]);
  done.push('generic');
}

async function watches() {
  const seen = [];
  const ended = deferred();
  const start = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
  const controller = await new k8s.Watch(kc).watch(
    `/api/v1/namespaces/${namespace}/configmaps`, { resourceVersion: start, allowWatchBookmarks: true },
    (type, object) => { if (type !== 'BOOKMARK') seen.push(`${type} ${object.metadata.name}`); },
    (error) => ended.resolve(error));
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'watched' } } });
  await core.deleteNamespacedConfigMap({ name: 'watched', namespace });
  await until(() => seen.length >= 2);
  assert.deepEqual(seen, ['ADDED watched', 'DELETED watched']);
  controller.abort();
  await ended.promise;
  done.push('watches');
}

async function informers() {
  const list = () => core.listNamespacedSecret({ namespace });
  const informer = k8s.makeInformer(kc, `/api/v1/namespaces/${namespace}/secrets`, list);
  const heard = [];
  for (const kind of ['add', 'update', 'delete']) {
    informer.on(kind, (object) => heard.push(`${kind} ${object.metadata.name}`));
  }
  // Stopping aborts its watch, and it tells its listeners so.
  informer.on('error', (error) => { if (error.name !== 'AbortError') throw error; });
  await core.createNamespacedSecret({ namespace, body: { metadata: { name: 'first' } } });
  await informer.start();
  await core.createNamespacedSecret({ namespace, body: { metadata: { name: 'second' }, stringData: { a: 'b' } } });
  await until(() => heard.includes('add second'));
  assert.equal(informer.get('second', namespace).data.a, 'Yg==');
  await core.deleteNamespacedSecret({ name: 'first', namespace });
  await until(() => heard.includes('delete first'));
  await informer.stop();
  assert.deepEqual(heard, ['add first', 'add second', 'delete first']);
  done.push('informers');
}

async function exec() {
  const stdout = new PassThrough(), stdin = new PassThrough();
  let said = '';
  stdout.on('data', (data) => { said += data; });
  const status = deferred();
  await new k8s.Exec(kc).exec(namespace, 'p', 'c', ['tr', 'a-z', 'A-Z'], stdout, null, stdin, false, status.resolve);
  stdin.write('hello\n');
  assert.equal((await status.promise).status, 'Success');
  await until(() => said === 'HELLO\n');
  const log = new PassThrough();
  let lines = '';
  log.on('data', (data) => { lines += data; });
  await new k8s.Log(kc).log(namespace, 'p', 'c', log, { follow: false });
  await until(() => lines === 'one\ntwo\n');
  done.push('exec');
}

const parts = { typed, patches, generic, watches, informers, exec };
for (const [name, part] of Object.entries(parts)) {
  try {
    await part();
  } catch (error) {
    console.error(`${name}: ${error.stack ?? error}`);
    process.exitCode = 1;
  }
}
console.log(JSON.stringify(done));
process.exit();
