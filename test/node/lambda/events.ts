/** One HTTP request as each of AWS's front doors hands it to a function, in the shapes their documentation gives. */
import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from 'aws-lambda';

export interface Posted {
  readonly path: string;
  readonly body: string;
  readonly headers?: Record<string, string>;
  /** Load balancers and REST APIs with binary media types encode what is no text to them. */
  readonly base64?: boolean;
}

const EPOCH_MS = 1_795_500_000_000;

function encoded({ body, base64 = false }: Posted) {
  return { body: base64 ? Buffer.from(body).toString('base64') : body, isBase64Encoded: base64 };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html */
export function restApi(posted: Posted): APIGatewayProxyEvent {
  const headers = { 'Content-Type': 'application/json', Host: 'a1.execute-api.eu-north-1.amazonaws.com', 'X-Forwarded-Proto': 'https', ...posted.headers };
  return {
    resource: '/{proxy+}',
    path: posted.path,
    httpMethod: 'POST',
    headers,
    multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    pathParameters: { proxy: posted.path.slice(1) },
    stageVariables: null,
    requestContext: {
      accountId: '123456789012',
      apiId: 'a1',
      authorizer: null,
      domainName: 'a1.execute-api.eu-north-1.amazonaws.com',
      domainPrefix: 'a1',
      extendedRequestId: 'extended',
      httpMethod: 'POST',
      identity: {
        accessKey: null,
        accountId: null,
        apiKey: null,
        apiKeyId: null,
        caller: null,
        clientCert: null,
        cognitoAuthenticationProvider: null,
        cognitoAuthenticationType: null,
        cognitoIdentityId: null,
        cognitoIdentityPoolId: null,
        principalOrgId: null,
        sourceIp: '192.0.2.1',
        user: null,
        userAgent: 'curl/8.10.1',
        userArn: null,
      },
      path: `/prod${posted.path}`,
      protocol: 'HTTP/1.1',
      requestId: 'request',
      requestTime: '25/Nov/2026:03:00:00 +0000',
      requestTimeEpoch: EPOCH_MS,
      resourceId: 'resource',
      resourcePath: '/{proxy+}',
      stage: 'prod',
    },
    ...encoded(posted),
  };
}

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html, payload format 2.0 */
export function httpApi(posted: Posted, domainName = 'a2.execute-api.eu-north-1.amazonaws.com'): APIGatewayProxyEventV2 {
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: posted.path,
    rawQueryString: '',
    headers: { 'content-type': 'application/json', host: domainName, 'x-forwarded-proto': 'https', ...posted.headers },
    requestContext: {
      accountId: '123456789012',
      apiId: domainName.split('.')[0]!,
      domainName,
      domainPrefix: domainName.split('.')[0]!,
      http: { method: 'POST', path: posted.path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'curl/8.10.1' },
      requestId: 'request',
      routeKey: '$default',
      stage: '$default',
      time: '25/Nov/2026:03:00:00 +0000',
      timeEpoch: EPOCH_MS,
    },
    ...encoded(posted),
  };
}

/** https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads: the same, from another domain. */
export function functionUrl(posted: Posted): APIGatewayProxyEventV2 {
  return httpApi(posted, 'a3.lambda-url.eu-north-1.on.aws');
}

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html */
export function loadBalancer(posted: Posted): ALBEvent {
  return {
    requestContext: { elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-north-1:123456789012:targetgroup/stlm/0123456789abcdef' } },
    httpMethod: 'POST',
    path: posted.path,
    queryStringParameters: {},
    headers: { 'content-type': 'application/json', host: 'stlm-1.eu-north-1.elb.amazonaws.com', 'x-forwarded-proto': 'https', ...posted.headers },
    ...encoded(posted),
  };
}
